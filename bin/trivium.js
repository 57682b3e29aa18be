#!/usr/bin/env node
// Plain JavaScript on purpose: it must start on any Node, also one too old to run the sources.
import { spawn } from 'node:child_process'
import module, { createRequire } from 'node:module'
import { constants } from 'node:os'

const neededMajor = 24

/**
 * A gateway's messages die young and its heap is small, but V8's choice on a large machine and glibc's arenas let a flood
 * of 60 MB hold 350 MiB. Measured in docs/benchmarks.md. These can only be given when a process starts.
 */
const flags = ['--max-semi-space-size=8', '--initial-old-space-size=48', '--heap-growing-percent=50']
const memory = {
  MALLOC_ARENA_MAX: '1',
  // requests and transactions of some hundred KiB come and go: memory that is not given back at once need not be cleared anew
  MALLOC_MMAP_THRESHOLD_: '4194304',
  MALLOC_TRIM_THRESHOLD_: '8388608',
}

const isNewEnough = Number(process.versions.node.split('.')[0]) >= neededMajor
const hasFlags = flags.every((flag) => process.execArgv.includes(flag))

if (isNewEnough && hasFlags) {
  module.enableCompileCache()
  module.registerHooks({ resolve: withoutBallast })
  endWithLauncher()
  const { main } = await import('../src/cli/main.ts')
  await main(process.argv.slice(2))
} else {
  const node = isNewEnough ? process.execPath : bundledNode()
  if (node === undefined) {
    console.error(
      `trivium needs Node ${neededMajor} or newer (this is ${process.version}), and the Node that comes with it is not installed. Run "npm install" without --omit=optional, or install Node ${neededMajor}.`,
    )
    process.exit(69)
  }
  becomeOrRun(node, [...process.execArgv, ...flags, ...process.argv.slice(1)])
}

/** zod brings its messages in 60 languages, 9 MiB, and the gateway speaks English; and see `quiet-debug.cjs`. */
function withoutBallast(specifier, context, next) {
  const isList = specifier === '../locales/index.js' && context.parentURL?.includes('/node_modules/zod/')
  if (isList) return next('../locales/en.js', context)
  if (specifier !== 'debug' || process.env.DEBUG) return next(specifier, context)
  return { url: new URL('quiet-debug.cjs', import.meta.url).href, format: 'commonjs', shortCircuit: true }
}

/** The Node binary that came with the optional per-platform package, or undefined. */
function bundledNode() {
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
function becomeOrRun(node, args) {
  if (process.execve !== undefined && process.platform !== 'win32') {
    process.removeAllListeners('warning') // execve is experimental; so is its warning
    process.execve(node, [node, ...args], { ...memory, ...process.env })
  }
  const env = { ...memory, ...process.env, TRIVIUM_LAUNCHER: '1' }
  const child = spawn(node, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
}
