/**
 * `npm test`: format, lint, types, then every test on real brokers, which are started once. Arguments go to jest:
 * `npm test -- kafka`. The last line has the totals; lint and types count as one test each.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../src/errors.ts'
import { type Brokers, startBrokers } from './brokers/start.ts'

interface Totals {
  passed: number
  failed: number
  skipped: number
}

const root = join(import.meta.dirname, '../..')
const modules = join(root, 'node_modules')
/** The parts of jest's JSON that count. */
const noResults = {
  numPassedTests: 0,
  numFailedTests: 0,
  numRuntimeErrorTestSuites: 0,
  numPendingTests: 0,
  numTodoTests: 0,
}
const totals: Totals = { passed: 0, failed: 0, skipped: 0 }

await stage('format and lint', () => check([join(modules, '@biomejs/biome/bin/biome'), 'check', '.']))
await stage('types', () => check([join(modules, 'typescript/bin/tsc'), '--noEmit']))
const brokers = await stage('brokers', start)
await stage('tests', () => runJest(brokers))
await brokers?.stop()
report()

async function stage<T>(name: string, run: () => Promise<T>): Promise<T> {
  const startedAt = performance.now()
  const result = await run()
  console.log(`-- ${name}: ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
  return result
}

async function check(command: string[]): Promise<void> {
  add((await runNode(command)) === 0 ? { passed: 1 } : { failed: 1 })
}

/** Undefined where there are none to be had: then what needs no broker is still tested. */
async function start(): Promise<Brokers | undefined> {
  try {
    const found = await startBrokers()
    console.log(`brokers: ${found.how}`)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => void found.stop().finally(() => process.exit(130)))
    }
    return found
  } catch (error) {
    console.error(error instanceof Error ? error.message : messageOf(error))
    add({ failed: 1 })
    return undefined
  }
}

async function runJest(found: Brokers | undefined): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'trivium-jest-'))
  const outputFile = join(folder, 'results.json')
  try {
    const code = await runNode(jestCommand(outputFile, found !== undefined), found?.env)
    add(totalsOf(outputFile, code))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function jestCommand(outputFile: string, hasBrokers: boolean): string[] {
  return [
    '--experimental-vm-modules',
    '--no-warnings=ExperimentalWarning',
    join(modules, 'jest/bin/jest.js'),
    '--forceExit', // a handle that Node cannot close at its own end would keep it spinning
    '--json',
    `--outputFile=${outputFile}`,
    `--maxWorkers=${Math.max(2, Math.floor(availableParallelism() / 2))}`,
    ...(hasBrokers ? [] : ['--selectProjects', 'unit', 'rules', '--']),
    ...process.argv.slice(2),
  ]
}

/** A file that could not be run is a failure too, and so is a run without tests. */
function totalsOf(outputFile: string, exitCode: number): Totals {
  const results = readResults(outputFile)
  const failed = results.numFailedTests + results.numRuntimeErrorTestSuites
  const isUnexplained = failed === 0 && (exitCode !== 0 || results.numPassedTests === 0)
  return {
    passed: results.numPassedTests,
    failed: isUnexplained ? 1 : failed,
    skipped: results.numPendingTests + results.numTodoTests,
  }
}

function readResults(file: string): typeof noResults {
  try {
    return { ...noResults, ...JSON.parse(readFileSync(file, 'utf8')) }
  } catch {
    return noResults
  }
}

/** Runs under this very Node; the exit code, 1 where a signal ended it. Jest's JSON goes to its file alone. */
async function runNode(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  const [code] = await once(child, 'exit')
  return code ?? 1
}

function add(more: Partial<Totals>): void {
  totals.passed += more.passed ?? 0
  totals.failed += more.failed ?? 0
  totals.skipped += more.skipped ?? 0
}

function report(): void {
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''
  console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`)
  process.exitCode = totals.failed === 0 ? 0 : 1
}
