/**
 * `npm test`: format, lint, types, then every test on real brokers, which are started once. Arguments go to jest:
 * `npm test -- kafka`. The last line has the totals; lint and types count as one test each.
 */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../src/errors.ts'
import { type Brokers, startBrokers } from './brokers/start.ts'
import { type JestRun, root, runJest, runNode, type Totals } from './run-jest.ts'

const modules = join(root, 'node_modules')
const endurance = { projects: ['endurance'], isQuiet: true }
const totals: Totals = { passed: 0, failed: 0, skipped: 0 }

await stage('format and lint', () => check([join(modules, '@biomejs/biome/bin/biome'), 'check', '.']))
await stage('types', () => check([join(modules, 'typescript/bin/tsc'), '--noEmit']))
const brokers = await stage('brokers', start)
await stage('tests', () => test(brokers))
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

/** What waits for the clock runs beside what works: it takes minutes, and little of the machine. */
async function test(found: Brokers | undefined): Promise<void> {
  const more = process.argv.slice(2)
  const workers = Math.max(2, Math.floor(availableParallelism() / 2))
  const args = [`--maxWorkers=${workers}`, ...more]
  const runs: JestRun[] =
    found === undefined
      ? [{ projects: ['unit', 'rules'], args, env: {} }]
      : [
          { projects: ['fault', 'integration', 'conformance', 'unit', 'rules'], args, env: found.env },
          { ...endurance, args: ['--maxWorkers=1', ...more], env: { ...found.env, TRIVIUM_TEST_PORTS: '3' } },
        ]
  const before = totals.passed
  for (const result of await Promise.all(runs.map(runJest))) add(result)
  if (totals.passed === before) add({ failed: 1 }) // a pattern that names nothing
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
