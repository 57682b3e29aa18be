/** A target that is away and 50,000 messages at the source: the gateway takes in its budget and no more. */

import { expect, test } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { counts, Installation, type Program } from '../support/gateway/delivery-program.ts'
import { roadBetween } from '../support/gateway/road.ts'
import { arrived, checkNothingLost, inScope, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import type { BrokerName } from '../support/places/connections.ts'
import { amqpPlace, committed, kafkaPlace, mqttPlace, type Place, placeAt, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

interface Limits {
  readonly source: BrokerName
  readonly total: number
  /** Settings of the gateway, of the source's connection and of `from`. */
  readonly gateway?: string
  readonly connection?: string
  readonly from?: string
  /** What that allows in flight. */
  readonly count: number
  readonly bytes?: number
}

/** One after the other: each has the machine to itself. */
function inTurn(title: string, body: Parameters<typeof inScope>[0]): void {
  test(title, () => inScope(body), 300_000)
}

const cases: Readonly<Record<string, Limits>> = {
  "kafka's maxInFlight": { source: 'kafka', total: 50_000, from: 'maxInFlight: 700', count: 700 },
  "amqp's prefetch": { source: 'amqp', total: 50_000, from: 'prefetch: 300', count: 300 },
  "mqtt's maxInFlight": { source: 'mqtt', total: 10_000, from: 'maxInFlight: 200', count: 200 },
  "the gateway's maxInFlight": { source: 'kafka', total: 20_000, gateway: ', maxInFlight: 1000', count: 1_000 },
  "the gateway's maxInFlightBytes": {
    ...{ source: 'kafka', total: 20_000, gateway: ', maxInFlightBytes: 256KiB' },
    ...{ count: 500, bytes: 257 * 1024 }, // a message counts as its payload and 512 bytes; the last one may go over
  },
}

for (const [title, limits] of Object.entries(cases)) {
  const { source: protocol, total, count, bytes = Number.POSITIVE_INFINITY } = limits
  inTurn(
    `${protocol}: never more in flight than ${title}, and reading goes on when the target comes`,
    async (scope) => {
      const port = await freePort()
      const settings = limits.connection === undefined ? {} : { settings: limits.connection }
      const [source, target] = [await placeAt(protocol, settings), await amqpPlace({ port })]
      const gateway = scope.gateway(yamlOf(source, target, limits))
      await eventually(() => gateway.link('source', 'source').state === 'up', { what: 'the source' })
      const most = { count: 0, bytes: 0 }
      const look = setInterval(() => {
        const { inFlight } = gateway.gateway.status()
        most.count = Math.max(most.count, inFlight.count)
        most.bytes = Math.max(most.bytes, inFlight.bytes)
      }, 1)
      scope.after(() => clearInterval(look))
      const sent = texts(total)
      await (await scope.use(source.sender())).send(sent)
      await eventually(() => gateway.link('target', 'sink').reconnects >= 4, { what: 'some time' })
      await eventually(() => gateway.link('source', 'source').received > count / 4, { what: 'messages in flight' })
      const { received, settled } = gateway.link('source', 'source')
      expect(settled).toBe(0)
      expect(received).toBeLessThanOrEqual(count)

      await scope.use(wireTo('amqp', port))
      const reader = await scope.use(target.reader())
      await arrived(reader, sent, 150_000)
      checkNothingLost(reader.got, sent)
      expect(most.count).toBeLessThanOrEqual(count)
      expect(most.bytes).toBeLessThanOrEqual(bytes)
      await eventually(() => gateway.link('source', 'source').settled === total, { what: 'all settled' })
    },
  )
}

const yamlOf = (source: Place, target: Place, limits: Pick<Limits, 'gateway' | 'from'>) => {
  const from = limits.from === undefined ? source.from : `${source.from}, ${limits.from}`
  const gateway = `gateway: { id: ${unique('t')}, drain: 5s, admin: false${limits.gateway ?? ''} }`
  return `${gateway}${roadBetween({ ...source, from }, target, 'acknowledge: delivered')}`
}

inTurn(
  'the memory of the program stays bounded with 50,000 messages of 4 KiB at the source and a target away',
  async (scope) => {
    const [adminPort, nobody] = [await freePort(), await freePort()]
    const [source, target] = [await kafkaPlace(), await mqttPlace({ port: nobody })]
    const program = await new Installation(
      scope,
      adminPort,
      `
gateway: { id: ${unique('t')}, maxInFlightBytes: 8MiB, drain: 1s, admin: { listen: "127.0.0.1:${adminPort}" } }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from}, maxInFlight: 5000 }, to: [{ connection: target, topic: x }] }]
`,
    ).run()
    const before = await memoryOf(program)
    await fill(source.name)
    const most = { memory: 0, inFlight: 0 }
    await eventually(
      async () => {
        most.memory = Math.max(most.memory, await memoryOf(program))
        most.inFlight = Math.max(most.inFlight, (await counts(program)).inFlight)
        return (await reconnectsOf(program, 'target')) >= 6 && most.inFlight >= 1_821
      },
      { withinMs: 120_000, what: 'some time' },
    )
    // A message counts as its payload and 512 bytes: 8 MiB hold 1,821.
    expect(most.inFlight).toBe(1_821)
    expect(most.memory - before).toBeLessThan(64 * 1024 ** 2)
    expect((await program.end('SIGTERM')).code).toBe(0)
    expect(await committed(source)).toBe(0)
  },
)

/** Resident bytes. */
async function memoryOf({ admin }: Program): Promise<number> {
  const metrics = await (await fetch(`${admin}/metrics`)).text()
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(metrics)![1])
}

async function reconnectsOf({ admin }: Program, name: string): Promise<number> {
  const { connections } = (await (await fetch(`${admin}/api/v1/connections`)).json()) as {
    connections: { name: string; reconnects: number }[]
  }
  return connections.find((connection) => connection.name === name)?.reconnects ?? 0
}

async function fill(topic: string): Promise<void> {
  const producer = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  const messages = Array.from({ length: 200 }, () => ({ value: Buffer.alloc(4_096, 'x') }))
  for (let n = 0; n < 250; n += 1) await producer.send({ topic, messages })
  await producer.disconnect()
}
