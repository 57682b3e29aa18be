/** What a kept session of an external broker holds when the routes change, and when their filters intersect. */
import { afterEach, describe, expect, it } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { FakeBroker, types } from '../support/brokers/fake-mqtt-broker.ts'
import { FakeKept } from '../support/contexts/kept.ts'
import { never } from '../support/contexts/messages.ts'
import { Bench, connectionOf, contextOf, listen } from '../support/contexts/mqtt-client.ts'
import { RunningSource } from '../support/contexts/running-source.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

const bench = new Bench()
afterEach(() => bench.end())

interface Route {
  readonly name: string
  readonly topic: string
  readonly share?: string
  readonly qos?: number
}

/** A gateway whose routes send what they read to `<out>/<route>`. */
function yamlOf(id: string, out: string, routes: readonly Route[], plant: Record<string, unknown> = {}): string {
  const url = brokerAddresses().mqtt
  const list = routes.map(({ name, ...from }) => ({
    name,
    from: { connection: 'plant', ...from },
    to: [{ connection: 'out', topic: `${out}/${name}` }],
  }))
  return JSON.stringify({
    gateway: { id, dataDir: '${env:TRIVIUM_DATA_DIR}' },
    connections: { plant: { protocol: 'mqtt', url, ...plant }, out: { protocol: 'mqtt', url } },
    routes: list,
  })
}

/** Gateways that follow each other on one data directory. */
class Succession {
  readonly id = `sub-${unique('id').slice(-8)}`
  readonly base = unique('subscriptions')
  #current: TestGateway | undefined
  #dataDir: string | undefined

  constructor() {
    bench.later(async () => await this.#current?.stop())
  }

  async run(routes: readonly Route[], plant: Record<string, unknown> = {}): Promise<TestGateway> {
    await this.pause()
    const yaml = yamlOf(this.id, `${this.base}/out`, routes, plant)
    this.#current = await new TestGateway(yaml, this.#dataDir).ready()
    this.#dataDir = this.#current.dataDir
    return this.#current
  }

  async pause(): Promise<void> {
    await this.#current?.pause()
    this.#current = undefined
  }

  /** Publishes, then a fence behind it, and resolves with what has come out: `route text`. */
  async through(publish: () => Promise<unknown>): Promise<string[]> {
    const client = await bench.client()
    const { packets } = await listen(client, `${this.base}/out/+`)
    await publish()
    const wanted = (this.#current?.gateway.status().routes ?? []).map(({ name }) => name)
    await client.publishAsync(`${this.base}/in/fence/end/telemetry`, 'fence', { qos: 1 })
    await eventually(
      () => wanted.every((name) => packets.some((p) => p.topic.endsWith(`/${name}`) && String(p.payload) === 'fence')),
      { what: 'the fence on every route' },
    )
    await eventually(() => this.#current?.gateway.status().inFlight.count === 0, { what: 'all settled' })
    return packets.map(({ topic, payload }) => `${topic.split('/').at(-1)} ${payload}`).filter((s) => !/fence/.test(s))
  }
}

const said = (gateway: TestGateway, pattern: RegExp) => gateway.lines.filter(({ message }) => pattern.test(message))

describe.each([5, 4])('a filter taken out of the configuration, MQTT version %i', (protocolVersion) => {
  it('is unsubscribed at the next start: each message arrives once, also those kept meanwhile', async () => {
    const steps = new Succession()
    const narrow = { name: 'narrow', topic: `${steps.base}/in/{site}/{device}/telemetry` }
    const wide = { name: 'wide', topic: `${steps.base}/in/#` }
    const client = await bench.client()
    const send = (text: string) => client.publishAsync(`${steps.base}/in/a/b/telemetry`, text, { qos: 1 })
    await steps.run([narrow], { protocolVersion })
    await steps.run([narrow, wide], { protocolVersion })
    expect((await steps.through(() => send('both'))).sort()).toEqual(['narrow both', 'wide both'])
    await steps.pause()
    await send('meanwhile')
    const last = await steps.run([narrow], { protocolVersion })
    await eventually(() => last.route('narrow').matched === 1, { what: 'what was kept' })
    expect(await steps.through(() => send('after'))).toEqual(['narrow after'])
    expect(last.route('narrow').matched).toBe(3) // meanwhile, after, fence
    expect(last.link('plant', 'source').unmatched).toBe(0)
    await eventually(() => said(last, /unsubscribed from/).length === 1, { what: 'that it is unsubscribed' })
  })

  it('serves a route that it had covered with what was kept, and with what follows', async () => {
    const steps = new Succession()
    const client = await bench.client()
    const send = (text: string) => client.publishAsync(`${steps.base}/in/a/b/telemetry`, text, { qos: 1 })
    await steps.run([{ name: 'wide', topic: `${steps.base}/in/#` }], { protocolVersion })
    await steps.pause()
    await send('meanwhile')
    const narrow = { name: 'narrow', topic: `${steps.base}/in/+/+/telemetry` }
    const last = await steps.run([narrow], { protocolVersion })
    await eventually(() => last.route('narrow').matched === 1, { what: 'what was kept' })
    expect(await steps.through(() => send('after'))).toEqual(['narrow after'])
    expect(last.route('narrow').matched).toBe(3)
  })
})

describe('filters that intersect', () => {
  it('give each route one message of one, MQTT 5', async () => {
    const steps = new Succession()
    const routes = [
      { name: 'x', topic: `${steps.base}/in/+/end/telemetry` },
      { name: 'y', topic: `${steps.base}/in/fence/+/telemetry` },
    ]
    const client = await bench.client()
    const gateway = await steps.run(routes, { protocolVersion: 5 })
    const send = (text: string) => client.publishAsync(`${steps.base}/in/fence/end/telemetry`, text, { qos: 1 })
    const got = await steps.through(async () => {
      for (const text of ['1', '2', '3']) await send(text)
    })
    expect(got.sort()).toEqual(['x 1', 'x 2', 'x 3', 'y 1', 'y 2', 'y 3'])
    expect(gateway.link('plant', 'source').unmatched).toBe(0)
  })

  it('keep that through a restart that takes one of them out, for what the session holds too', async () => {
    const steps = new Succession()
    const x = { name: 'x', topic: `${steps.base}/in/+/end/telemetry` }
    const y = { name: 'y', topic: `${steps.base}/in/fence/+/telemetry` }
    const client = await bench.client()
    const send = (text: string) => client.publishAsync(`${steps.base}/in/fence/end/telemetry`, text, { qos: 1 })
    await steps.run([x, y], { protocolVersion: 5 })
    await steps.pause()
    await send('kept')
    const last = await steps.run([x], { protocolVersion: 5 })
    await eventually(() => last.route('x').matched > 0, { what: 'what was kept' })
    expect(await steps.through(() => send('after'))).toEqual(['x after'])
    expect(last.route('x').matched).toBe(3) // kept, after, fence
  })

  it('are warned of where copies cannot be told apart', async () => {
    const steps = new Succession()
    const routes = [
      { name: 'x', topic: `${steps.base}/in/+/end/telemetry` },
      { name: 'y', topic: `${steps.base}/in/fence/+/telemetry` },
    ]
    const gateway = await steps.run(routes, { protocolVersion: 4 })
    expect(said(gateway, /twice/).map(({ level }) => level)).toEqual(['warn'])
  })
})

describe('what a kept session goes on holding', () => {
  const route = (base: string, more = {}) => ({ name: 'r', topic: `${base}/in/#`, ...more })

  it('is told of where the client id changes', async () => {
    const steps = new Succession()
    await steps.run([route(steps.base)])
    const gateway = await steps.run([route(steps.base)], { clientId: `${steps.id}-new` })
    const [line] = said(gateway, /session of client/)
    expect(line).toMatchObject({ level: 'warn', message: expect.stringContaining(`${steps.id}-plant-in`) })
    expect(line?.message).toContain(`${steps.base}/in/#`)
  })

  it('is told of once where the share group goes', async () => {
    const steps = new Succession()
    await steps.run([route(steps.base, { share: 'crew' }), { name: 'other', topic: `${steps.base}/other` }])
    const shared = await steps.run([route(steps.base)])
    const [line] = said(shared, /crew/)
    expect(line).toMatchObject({ level: 'warn', message: expect.stringContaining('plant-in-crew') })
    const other = await steps.run([{ name: 'r', topic: `${steps.base}/in/#` }])
    expect(said(other, /crew/)).toEqual([])
  })

  it('follows a changed qos', async () => {
    const steps = new Succession()
    const client = await bench.client()
    await steps.run([route(steps.base, { qos: 1 })])
    await steps.run([route(steps.base, { qos: 0 })])
    await steps.pause()
    await client.publishAsync(`${steps.base}/in/a`, 'lost by choice', { qos: 1 })
    const gateway = await steps.run([route(steps.base, { qos: 1 })])
    expect(await steps.through(() => client.publishAsync(`${steps.base}/in/a`, 'now', { qos: 1 }))).toEqual(['r now'])
    expect(said(gateway, /grants less/)).toEqual([])
  })
})

describe('on a scripted broker', () => {
  it('intersecting filters without identifiers are warned of where the broker offers none', async () => {
    const broker = await FakeBroker.start()
    bench.later(() => broker.stop())
    broker.connackFor = () => Buffer.from([0x20, 5, 0, 0, 2, 41, 0]) // Subscription Identifiers Available: no
    broker.suback = (body) => Buffer.from([0x90, 5, body[0]!, body[1]!, 0, 1, 1])
    const context = contextOf()
    await bench.run([{ topic: 'a/+' }, { topic: '+/b' }], connectionOf({ url: broker.url }), context)
    expect(context.texts().filter((line) => line.includes('arrive twice'))).toHaveLength(1)
    expect(broker.count(types.subscribe)).toBe(1)
  })

  it('a session that the broker keeps for less than was asked is told', async () => {
    const broker = await FakeBroker.start()
    bench.later(() => broker.stop())
    broker.connackFor = () => Buffer.from([0x20, 8, 0, 0, 5, 17, 0, 0, 0x1c, 0x20]) // Session Expiry Interval: two hours
    const context = contextOf()
    await bench.run([{ topic: 'a' }], connectionOf({ url: broker.url }), context)
    expect(context.texts().filter((line) => line.includes('for 7200 s only'))).toHaveLength(1)
  })

  it('an unsubscription that is not confirmed is told, and asked for again on the next connection', async () => {
    const broker = await FakeBroker.start()
    bench.later(() => broker.stop())
    const kept = new FakeKept()
    const context = { ...contextOf(), kept, group: '' }
    const first = await bench.run([{ topic: 'a/#' }], connectionOf({ url: broker.url }), context)
    await first.source.close()
    broker.connackFor = () => Buffer.from([0x20, 3, 1, 0, 0])
    broker.unsuback = () => undefined
    const second = bench.source([{ topic: 'a/b' }], connectionOf({ url: broker.url }), context)
    await second.open(never)
    broker.publish('a/b', 'meanwhile')
    const reading = new RunningSource(second)
    await reading.has(1)
    await broker.has(types.unsubscribe, 1)
    broker.socket.destroy()
    await reading.done.catch(() => {})
    const told = () => context.texts().some((line) => line.includes('not unsubscribed from a/#'))
    await eventually(told, { what: 'the warning' })
    await second.open(never)
    await broker.has(types.unsubscribe, 2)
    expect(broker.count(types.subscribe)).toBe(2)
  })
})
