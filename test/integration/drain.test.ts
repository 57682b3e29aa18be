/** SIGTERM to the real program under load: it ends well and in time, and nothing is lost between one run and the next. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { type EndName, endNames } from '../support/peers.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import {
  arrived,
  checkNothingLost,
  committed,
  fresh,
  type Place,
  placeAt,
  queueDepth,
  type Scope,
  scenario,
  setKey,
  steadyLoad,
  texts,
} from './delivery-fixture.ts'

const launcher = join(import.meta.dirname, '../../bin/trivium.js')
const otherOf: Record<EndName, EndName> = { mqtt: 'kafka', kafka: 'amqp', amqp: 'mqtt' }

interface Program {
  readonly admin: string
  /** All that it has logged. */
  readonly log: string[]
  /** Sends the signal; resolves with the exit code and how long that took. */
  end(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }>
}

/** What stands in one folder: the configuration, and the data of run after run. */
class Installation {
  readonly #file: string
  readonly #folder: string
  readonly #adminPort: number
  readonly #scope: Scope

  constructor(scope: Scope, adminPort: number, yaml: string) {
    this.#scope = scope
    this.#adminPort = adminPort
    this.#folder = mkdtempSync(join(tmpdir(), 'trivium-drain-'))
    this.#file = join(this.#folder, 'trivium.yaml')
    writeFileSync(this.#file, yaml)
    scope.after(() => rmSync(this.#folder, { recursive: true, force: true }))
  }

  async run(): Promise<Program> {
    const child = spawn(process.execPath, [launcher, 'run', this.#file], {
      env: { ...process.env, TRIVIUM_DATA_DIR: join(this.#folder, 'data') },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const log: string[] = []
    child.stderr.setEncoding('utf8').on('data', (text: string) => log.push(...text.trim().split('\n')))
    this.#scope.after(() => killed(child))
    const admin = `http://127.0.0.1:${this.#adminPort}`
    await eventually(async () => (await fetch(`${admin}/livez`)).ok, { what: `the program runs: ${log}` })
    return { admin, log, end: (signal) => ended(child, signal) }
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }> {
  const startedAt = performance.now()
  const exit = once(child, 'exit')
  child.kill(signal)
  const [code] = await withDeadline(exit, 25_000, 'ending')
  return { code, ms: performance.now() - startedAt }
}

const isReady = async ({ admin }: Program) => (await fetch(`${admin}/readyz`)).ok
const ready = (program: Program) => eventually(() => isReady(program), { withinMs: 30_000, what: `ready: ${program.log}` })

interface Counts {
  readonly delivered: number
  readonly inFlight: number
}
async function counts({ admin }: Program): Promise<Counts> {
  const { routes } = (await (await fetch(`${admin}/api/v1/routes`)).json()) as { routes: [Counts] }
  return routes[0]
}

const yamlOf = (port: number, source: Place, target: Place) => `
gateway: { id: ${fresh()}, admin: { listen: "127.0.0.1:${port}" } }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from} }, ${setKey}, to: [{ connection: target, ${target.to} }] }]
`

for (const from of endNames) {
  scenario(`SIGTERM under load from ${from}: exit 0, all that is acknowledged is at the target, the next run has the rest`, async (scope) => {
    const [source, target] = [await placeAt(from), await placeAt(otherOf[from])]
    const port = await freePort()
    const installation = new Installation(scope, port, yamlOf(port, source, target))
    const first = await installation.run()
    await ready(first)
    const reader = await scope.use(target.reader())
    const load = await steadyLoad(scope, source)
    await eventually(() => reader.got.length > 200, { withinMs: 20_000, what: 'load' })
    const { code, ms } = await first.end('SIGTERM')
    expect({ code, log: first.log.filter((line) => /"level":"(warn|error)"/.test(line)) }).toEqual({ code: 0, log: [] })
    expect(ms).toBeLessThan(20_000)
    await load.stop()
    const left = await leftAt(from, source, load.confirmed.length)
    if (left !== undefined) {
      expect(left).toBeGreaterThan(0)
      const acknowledged = load.confirmed.length - left
      await eventually(() => reader.got.length >= acknowledged, { what: `the ${acknowledged} acknowledged` })
    }
    await ready(await installation.run())
    await arrived(reader, load.confirmed)
    checkNothingLost(reader.got, load.confirmed)
    // What was in flight had settled: an orderly end makes no duplicate.
    expect(reader.got).toHaveLength(load.confirmed.length)
  })
}

/** How many the source's broker does not consider acknowledged; it cannot be asked of MQTT. */
async function leftAt(from: EndName, source: Place, sent: number): Promise<number | undefined> {
  if (from === 'amqp') return queueDepth(source.name)
  if (from === 'kafka') return sent - (await committed(source))
  return undefined
}

for (const from of endNames) {
  scenario(`SIGTERM while the target of ${from} is away: exit 0 within 20 s, and the source has everything`, async (scope) => {
    const [portOfAdmin, nobody] = [await freePort(), await freePort()]
    const source = await placeAt(from)
    const target = await placeAt(otherOf[from])
    const id = fresh()
    const yaml = yamlOf(portOfAdmin, source, target).replace(/id: \w+/, `id: ${id}`)
    const away = yaml.replace(target.connection, target.connection.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${nobody}`))
    const first = await new Installation(scope, portOfAdmin, away).run()
    await eventually(async () => JSON.stringify(await (await fetch(`${first.admin}/readyz`)).json()).includes('source') === false, {
      what: 'the source is connected',
    })
    const sent = texts(300)
    await (await scope.use(source.sender())).send(sent)
    await eventually(async () => (await counts(first)).inFlight === 300, { what: 'all in flight' })
    const { code, ms } = await first.end('SIGTERM')
    expect({ code, log: code === 0 ? [] : first.log }).toEqual({ code: 0, log: [] })
    expect(ms).toBeLessThan(20_000)
    const left = await leftAt(from, source, 300)
    if (left !== undefined) expect(left).toBe(300)

    const second = await new Installation(scope, portOfAdmin, yaml).run()
    const reader = await scope.use(target.reader())
    await arrived(reader, sent)
    checkNothingLost(reader.got, sent)
    await eventually(async () => (await counts(second)).delivered === 300, { what: 'all delivered' })
    expect((await second.end('SIGINT')).code).toBe(0)
  })
}
