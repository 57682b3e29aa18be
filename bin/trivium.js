#!/usr/bin/env node
// Plain JavaScript on purpose: it must start on any Node, also one too old for the gateway.
import { existsSync } from 'node:fs'
import module, { createRequire } from 'node:module'

/** A clone runs its TypeScript sources, which takes a newer Node; an installed package has its bundle. */
const isClone = existsSync(new URL('../src/cli/main.ts', import.meta.url))
const [neededMajor, neededMinor] = isClone ? [24, 0] : [22, 13]
const program = new URL(isClone ? '../src/cli/main.ts' : '../dist/cli.js', import.meta.url)
const library = new URL(isClone ? '../src/index.ts' : '../dist/index.js', import.meta.url)

/**
 * A gateway's messages die young and its heap is small, but V8's choice on a large machine and glibc's arenas let a flood
 * of 60 MB hold 350 MiB. Measured in docs/benchmarks.md. These can only be given when a process starts.
 */
const heap = ['--max-semi-space-size=8', '--initial-old-space-size=48', '--heap-growing-percent=50']
/** Node 22 warns of `node:sqlite`, whose form has not changed since. */
const flags = [...heap, '--disable-warning=ExperimentalWarning']
const memory = {
  MALLOC_ARENA_MAX: '1',
  // requests and transactions of some hundred KiB come and go: memory that is not given back at once need not be cleared anew
  MALLOC_MMAP_THRESHOLD_: '4194304',
  MALLOC_TRIM_THRESHOLD_: '8388608',
}

const isNewEnough = isAtLeast(process.versions.node)
const hasFlags = flags.every((flag) => process.execArgv.includes(flag))

if (isNewEnough && hasFlags) await runHere()
else await runAgain(isNewEnough ? process.execPath : nodeOfClone())

async function runHere() {
  module.enableCompileCache()
  module.registerHooks?.({ resolve })
  endWithLauncher()
  const { main } = await import(program)
  await main(process.argv.slice(2))
}

/** The flags and the environment count from the start of a process. */
async function runAgain(node) {
  if (node === undefined) {
    const help = isClone ? 'run "npm ci", which brings one' : 'install a newer one'
    console.error(`trivium needs Node ${neededMajor}.${neededMinor} or newer, this is ${process.version}: ${help}.`)
    process.exit(69)
  }
  await becomeOrRun(node, [...process.execArgv, ...flags, ...process.argv.slice(1)])
}

function isAtLeast(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > neededMajor || (major === neededMajor && minor >= neededMinor)
}

/**
 * A protocol of a user's own finds this gateway's library, wherever its file lies. In a clone, as the bundle has it built in:
 * zod brings its messages in 60 languages, 9 MiB, and the gateway speaks English; and see `quiet-debug.cjs`.
 */
function resolve(specifier, context, next) {
  if (specifier === 'trivium') return next(library.href, context)
  if (!isClone) return next(specifier, context)
  const isList = specifier === '../locales/index.js' && context.parentURL?.includes('/node_modules/zod/')
  if (isList) return next('../locales/en.js', context)
  if (specifier !== 'debug' || process.env.DEBUG) return next(specifier, context)
  return { url: new URL('quiet-debug.cjs', import.meta.url).href, format: 'commonjs', shortCircuit: true }
}

/** The Node binary that came with a per-platform package of runtime/, or undefined. */
function nodeOfClone() {
  if (!isClone) return undefined
  const require = createRequire(import.meta.url)
  const { platform, arch } = process
  const [os, file] = platform === 'win32' ? ['win', 'bin/node.exe'] : [platform, 'bin/node']
  for (const name of [`node-${os}-${arch}`, `node-bin-${os}-${arch}`]) {
    try {
      return require.resolve(`${name}/${file}`)
    } catch {
      // not this platform's package
    }
  }
  return undefined
}

/** Where a launcher had to stay: killed, it takes this process along, so that a supervisor that starts it anew finds the store free. */
function endWithLauncher() {
  if (process.env.TRIVIUM_LAUNCHER !== '1' || process.channel === undefined) return
  delete process.env.TRIVIUM_LAUNCHER
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.channel.unref()
}

/** Replaces this process where the platform can, else runs a child, passing signals on and taking over its exit code. */
async function becomeOrRun(node, args) {
  if (process.execve !== undefined && process.platform !== 'win32') {
    process.removeAllListeners('warning') // execve is experimental; so is its warning
    process.execve(node, [node, ...args], { ...memory, ...process.env })
  }
  const { spawn } = await import('node:child_process')
  const { constants } = await import('node:os')
  const env = { ...memory, ...process.env, TRIVIUM_LAUNCHER: '1' }
  const detached = process.platform !== 'win32' // a terminal's Ctrl-C is for one of the two, which passes it on
  const child = spawn(node, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env, detached })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
}
