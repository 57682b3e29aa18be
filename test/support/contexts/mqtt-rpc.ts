/** Requests and replies as people's MQTT 5 clients make them: response topic and correlation data. */
import { randomBytes } from 'node:crypto'
import type { IClientPublishOptions, IPublishPacket, MqttClient } from 'mqtt'
import { unique } from '../names.ts'

type Properties = NonNullable<IPublishPacket['properties']>

export interface MqttAnswer {
  readonly text: string
  readonly topic: string
  readonly properties: Properties
}

/** Asks with a response topic of its own and correlation data that are no text; an answer to anything else is a stranger. */
export class MqttAsker {
  readonly strangers: MqttAnswer[] = []
  readonly responseTopic = unique('answers')
  readonly #client: MqttClient
  readonly #waiting = new Map<string, (answer: MqttAnswer) => void>()

  private constructor(client: MqttClient) {
    this.#client = client
  }

  static async open(client: MqttClient): Promise<MqttAsker> {
    const asker = new MqttAsker(client)
    client.on('message', (topic, payload, { properties = {} }) => asker.#hear(topic, payload, properties))
    await client.subscribeAsync(asker.responseTopic, { qos: 1 })
    return asker
  }

  ask(topic: string, text: string, more: Partial<IClientPublishOptions['properties']> = {}): Promise<MqttAnswer> {
    const correlationData = Buffer.concat([Buffer.from([0xff, 0, 0xfe]), randomBytes(8)])
    const { promise, resolve } = Promise.withResolvers<MqttAnswer>()
    this.#waiting.set(correlationData.toString('hex'), resolve)
    const properties = { responseTopic: this.responseTopic, correlationData, ...more }
    this.#client.publish(topic, text, { qos: 1, properties })
    return promise
  }

  #hear(topic: string, payload: Buffer, properties: Properties): void {
    const answer = { topic, text: payload.toString(), properties }
    const key = properties.correlationData?.toString('hex') ?? ''
    const resolve = this.#waiting.get(key)
    this.#waiting.delete(key)
    if (resolve === undefined) this.strangers.push(answer)
    else resolve(answer)
  }
}

/** A device: answers each request with what `work` makes of it, or keeps quiet where that is undefined. */
export async function mqttReplier(
  client: MqttClient,
  filter: string,
  work: (text: string, packet: IPublishPacket) => string | undefined,
): Promise<{ readonly heard: IPublishPacket[]; reply(to: IPublishPacket, text: string): void }> {
  const heard: IPublishPacket[] = []
  const reply = ({ properties: { responseTopic = '', correlationData } = {} }: IPublishPacket, text: string) => {
    client.publish(responseTopic, text, { qos: 1, properties: { ...(correlationData && { correlationData }) } })
  }
  client.on('message', (_topic, payload, packet) => {
    heard.push(packet)
    const answer = work(payload.toString(), packet)
    if (answer !== undefined) reply(packet, answer)
  })
  await client.subscribeAsync(filter, { qos: 1 })
  return { heard, reply }
}
