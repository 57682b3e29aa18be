import type { Log } from '../adapter/contract.ts'
import type { GatewayConfig } from '../config/schema/types.ts'
import { Envelope, type EnvelopeFields, type Format } from '../envelope/envelope.ts'
import { uuidv7 } from '../envelope/uuid.ts'
import { PermanentError } from '../errors.ts'
import { Publisher } from './publisher.ts'

/** A message for one destination of one connection. */
export interface Publication extends Partial<Omit<EnvelopeFields, 'destination' | 'payload'>> {
  /** Name of the connection in the configuration. */
  readonly connection: string
  /** MQTT topic, Kafka topic, AMQP exchange/routing-key or queue. */
  readonly destination: string
  /** A text is sent as UTF-8. */
  readonly payload: string | Uint8Array
  /** How it travels; default: what the connection says. */
  readonly format?: Format
}

/** The publishers of one program, a connection for each name, opened by the first message. */
export class Publishing {
  readonly #config: GatewayConfig
  readonly #log: Log
  readonly #open = new Map<string, Promise<Publisher>>()

  constructor(config: GatewayConfig, log: Log) {
    this.#config = config
    this.#log = log
  }

  async send({ connection, destination, payload, format, ...fields }: Publication): Promise<void> {
    const { settings, sink } = this.#connection(connection)
    const key = typeof fields.key === 'string' ? fields.key : undefined
    const target = sink.targetOf(destination, key)
    const envelope = new Envelope({
      messageId: uuidv7(),
      timestamp: new Date().toISOString(),
      source: 'trivium://publish',
      ...fields,
      destination,
      payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
    })
    const publisher = await this.#publisher(settings.name)
    const problem = await publisher.send([{ envelope, target, format: format ?? settings.format }])
    if (problem !== undefined) {
      this.#forget(settings.name)
      throw problem.error
    }
  }

  async close(): Promise<void> {
    for (const name of [...this.#open.keys()]) this.#forget(name)
  }

  #connection(name: string) {
    const settings = this.#config.connections.get(name)
    const sink = this.#config.protocols.find((protocol) => protocol.name === settings?.protocol)?.sink
    if (settings === undefined) throw new PermanentError('USAGE', `no connection ${name}`)
    if (sink === undefined) throw new PermanentError('USAGE', `${settings.protocol} cannot be published to`)
    return { settings, sink }
  }

  #publisher(name: string): Promise<Publisher> {
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const { settings, sink } = this.#connection(name)
    const opening = (async () => {
      const publisher = new Publisher(sink, settings, this.#log)
      await publisher.open().catch(async (error) => {
        await publisher.close()
        throw error
      })
      return publisher
    })()
    this.#open.set(name, opening)
    opening.catch(() => this.#open.delete(name))
    return opening
  }

  /** The next message opens a connection anew. */
  #forget(name: string): void {
    const opening = this.#open.get(name)
    this.#open.delete(name)
    void opening?.then((publisher) => publisher.close()).catch(() => {})
  }
}
