/** Publishes to an external broker: a client of its own with a clean session, and a window of its own. */
import {
  type Context,
  type Log,
  type Outbound,
  type Outcome,
  retryable,
  type Sink,
} from '../../../src/adapter/contract.ts'
import { Pace } from '../../../src/adapter/pace.ts'
import { type GatewayError, RetryableError } from '../../../src/errors.ts'
import type { MqttTarget } from '../config.ts'
import type { MqttClientConnection } from './config.ts'
import { type Link, openLink } from './connection.ts'
import { Outflow } from './outflow.ts'

const mostInBatch = 250

const usualInFlight = 1_024

export class MqttSink implements Sink<MqttTarget> {
  readonly keepsOrder = true
  readonly maxConcurrentSends = 4
  readonly #pace = new Pace(mostInBatch) // for as long as the sink lives: it is the broker's, whatever its connection
  readonly #settings: MqttClientConnection
  readonly #clientId: string
  readonly #log: Log
  #link: Link | undefined
  #outflow: Outflow | undefined

  constructor(settings: MqttClientConnection, context: Context) {
    this.#settings = settings
    this.#clientId = `${settings.clientId ?? `${context.gatewayId}-${context.connection}`}-out`
    this.#log = context.log
  }

  get maxBatch(): number {
    return this.#pace.batch
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const outflow = new Outflow(this.#pace)
    const link = await openLink(
      {
        settings: this.#settings,
        clientId: this.#clientId,
        clean: true,
        receiveMaximum: 65_535,
        take: (packet) => outflow.take(packet),
        log: this.#log,
      },
      signal,
    )
    outflow.start(link, this.#settings.maxInFlight ?? usualInFlight)
    void link.lost().then((error) => outflow.stop(asOutage(error)))
    this.#link = link
    this.#outflow = outflow
  }

  send(batch: readonly Outbound<MqttTarget>[], signal: AbortSignal): Promise<readonly Outcome[]> {
    if (this.#outflow !== undefined) return this.#outflow.send(batch, signal)
    const notOpen = retryable(new RetryableError('PEER_LOST', 'the sink is not open'))
    return Promise.resolve(batch.map(() => notOpen))
  }

  lost(): Promise<GatewayError> {
    return this.#link?.lost() ?? new Promise(() => {})
  }

  async close(): Promise<void> {
    const [link, outflow] = [this.#link, this.#outflow]
    this.#link = undefined
    this.#outflow = undefined
    outflow?.stop(new RetryableError('PEER_LOST', 'the sink was closed'))
    await link?.close()
  }
}

function asOutage(error: GatewayError): RetryableError {
  return error instanceof RetryableError ? error : new RetryableError('PEER_LOST', error.message, { cause: error })
}
