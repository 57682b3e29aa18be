/** What the tests of the MQTT client share: adapters that close themselves, and a bare client beside them. */
import mqttJs, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { MqttClientConnection } from '../../../protocols/mqtt/client/config.ts'
import type { MqttFrom, MqttTarget } from '../../../protocols/mqtt/config.ts'
import { mqtt } from '../../../protocols/mqtt/index.ts'
import type { Context, Outbound, Sink, Source } from '../../../src/adapter/contract.ts'
import { brokerAddresses } from '../brokers/addresses.ts'
import { unique } from '../names.ts'
import { testContext } from './context.ts'
import { never, outboundTo } from './messages.ts'
import { RunningSource } from './running-source.ts'

export const connectionOf = (settings: Record<string, unknown> = {}): MqttClientConnection =>
  MqttClientConnection.parse({ url: brokerAddresses().mqtt, ...settings })
export const fromOf = (from: Record<string, unknown>): MqttFrom => mqtt.source!.schema.parse(from)

export function outbound(
  topic: string,
  payload: string | Buffer,
  more: Partial<MqttTarget> = {},
): Outbound<MqttTarget> {
  return { ...outboundTo({ topic, qos: 1, retain: false, ...more } as const, { payload }), format: 'raw' }
}

/** The connection's name is part of the client id: every test has a session of its own. */
export const contextOf = (maxCount = 10_000) =>
  testContext(unique('c'), { gatewayId: 'test', maxCount, maxBytes: 1 << 28 })

/** Everything a test opens; `end` lets go of it all. */
export class Bench {
  readonly #ends: (() => Promise<unknown>)[] = []

  later(end: () => Promise<unknown>): void {
    this.#ends.push(end)
  }

  async end(): Promise<void> {
    for (const end of this.#ends.reverse()) await end().catch(() => {})
    this.#ends.length = 0
  }

  source(
    froms: readonly Record<string, unknown>[],
    connection = connectionOf(),
    context: Context = contextOf(),
  ): Source {
    const source = mqtt.source!.create(connection, froms.map(fromOf), context)
    this.later(() => source.close())
    return source
  }

  async run(
    froms: readonly Record<string, unknown>[],
    connection = connectionOf(),
    context: Context = contextOf(),
  ): Promise<RunningSource> {
    const source = this.source(froms, connection, context)
    await source.open(never)
    return new RunningSource(source)
  }

  async sink(connection = connectionOf()): Promise<Sink<MqttTarget>> {
    const sink = mqtt.sink!.create(connection, contextOf())
    this.later(() => sink.close())
    await sink.open(never)
    return sink
  }

  async client(options: IClientOptions = {}): Promise<MqttClient> {
    const client = await mqttJs.connectAsync(brokerAddresses().mqtt, { protocolVersion: 5, ...options })
    this.later(() => client.endAsync(true))
    return client
  }
}

/** What a bare client receives; resolves each `has` at its count. */
export async function listen(client: MqttClient, filter: string): Promise<{ packets: IPublishPacket[] }> {
  const packets: IPublishPacket[] = []
  client.on('message', (_topic, _payload, packet) => packets.push(packet))
  await client.subscribeAsync(filter, { qos: 2 })
  return { packets }
}
