/** Hears replies at an external broker: a client of its own, whose session outlives a lost connection but not for long its gateway. */
import { shownAddress } from '../../../src/adapter/address.ts'
import type { Context, Deliver, Source } from '../../../src/adapter/contract.ts'
import { RetryableError } from '../../../src/errors.ts'
import { isVersionRefused } from '../errors.ts'
import type { MqttClientConnection } from './config.ts'
import { type Link, openLink } from './connection.ts'
import { createSession, Intake, type Session } from './intake.ts'
import { Reception } from './reception.ts'

const maxInFlight = 1_000
/** Replies that come while the gateway connects again wait so long at the broker, in milliseconds. */
const sessionExpiry = 600_000

export class ReplySource implements Source {
  readonly #settings: MqttClientConnection
  readonly #context: Context
  readonly #topic: string
  readonly #clientId: string
  readonly #session: Session
  readonly #reception = new Reception()

  /** `instance` stands in the client id: another start of the gateway does not take the session over. */
  constructor(
    settings: MqttClientConnection,
    context: Context,
    { topic, instance }: { topic: string; instance: string },
  ) {
    this.#settings = { ...settings, protocolVersion: 5, sessionExpiry, will: undefined }
    this.#context = context
    this.#topic = topic
    this.#clientId = `${settings.clientId ?? `${context.gatewayId}-${context.connection}`}-replies-${instance}`
    this.#session = createSession(context, [maxInFlight])
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const intake = new Intake(this.#session, this.#context, { readersOf: () => undefined, isOfReplies: true })
    const link = await this.#connect(intake, signal)
    this.#reception.begin(link, intake)
    try {
      if (!link.sessionPresent) await link.subscribe(new Map([[this.#topic, 1]]))
    } catch (error) {
      await this.close()
      throw error
    }
  }

  consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    return this.#reception.consume(deliver, signal)
  }

  close(): Promise<void> {
    return this.#reception.close()
  }

  async #connect(intake: Intake, signal: AbortSignal): Promise<Link> {
    const [settings, clientId, { log }] = [this.#settings, this.#clientId, this.#context]
    const take = intake.take.bind(intake)
    try {
      return await openLink({ settings, clientId, clean: false, receiveMaximum: maxInFlight, take, log }, signal)
    } catch (error) {
      if (error instanceof Error && isVersionRefused(error.cause)) throw only3(settings.url, error)
      throw error
    }
  }
}

const only3 = (url: string, cause: Error) =>
  new RetryableError(
    'PEER_FAILED',
    `${shownAddress(url)} speaks MQTT 3.1.1, which has no reply address; say with \`request.reply\` where replies are read`,
    { cause },
  )
