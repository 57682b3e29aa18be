import {
  type Context,
  delivered,
  type Outbound,
  type Outcome,
  retryable,
  type Sink,
} from '../../../src/adapter/contract.ts'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { unsendable } from '../../../src/adapter/outcomes.ts'
import { expiresAtMs } from '../../../src/envelope/expiry.ts'
import { type GatewayError, messageOf, PermanentError, RetryableError } from '../../../src/errors.ts'
import { encode, retains } from '../codec.ts'
import type { MqttTarget } from '../config.ts'
import type { EmbeddedBroker } from './broker.ts'
import { limitsOf, type MqttBrokerConnection } from './config.ts'
import type { PublishPacket, StoredPacket } from './driver.ts'
import { type TopicLimits, topicProblem } from './filter.ts'
import { type BrokerHandle, type SharedBroker, sharedBrokerOf } from './shared-broker.ts'

const sendWithinMs = 10_000

/**
 * Publishes to the broker's own subscribers. Delivered means: in the queue of every kept session that subscribes, and in
 * the sockets of those connected; that there is none is no failure. It never reaches the gateway's own source.
 */
export function createBrokerSink(connection: MqttBrokerConnection, context: Context): Sink<MqttTarget> {
  return new BrokerSink(connection, context)
}

class BrokerSink implements Sink<MqttTarget> {
  readonly keepsOrder = true
  readonly maxConcurrentSends = 4
  readonly maxBatch = 500
  readonly #shared: SharedBroker
  readonly #context: Context
  readonly #limits: TopicLimits
  #handle: BrokerHandle | undefined

  constructor(connection: MqttBrokerConnection, context: Context) {
    this.#shared = sharedBrokerOf(connection)
    this.#context = context
    this.#limits = limitsOf(connection)
  }

  async open(): Promise<void> {
    this.#handle ??= await this.#shared.acquire(this.#context)
  }

  async send(batch: readonly Outbound<MqttTarget>[]): Promise<readonly Outcome[]> {
    const broker = this.#handle?.broker
    return await Promise.all(batch.map((outbound) => this.#publish(broker, outbound)))
  }

  async lost(): Promise<GatewayError> {
    return (await this.#handle?.broker.failed) ?? new RetryableError('PEER_LOST', 'the embedded broker is not open')
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.release()
  }

  async #publish(broker: EmbeddedBroker | undefined, outbound: Outbound<MqttTarget>): Promise<Outcome> {
    if (broker === undefined) return retryable(new RetryableError('PEER_LOST', 'the embedded broker is not open'))
    try {
      return await handOver(broker, this.#packetOf(outbound))
    } catch (error) {
      return unsendable(error)
    }
  }

  #packetOf(outbound: Outbound<MqttTarget>): PublishPacket {
    const { topic, qos } = outbound.target
    const problem = topic.startsWith('$') ? 'topics with $ are closed' : topicProblem(topic, this.#limits)
    if (problem !== undefined) throw new PermanentError('DESTINATION_INVALID', `${topic}: ${problem}`)
    const { payload } = encode(outbound, 4)
    const packet: StoredPacket = { cmd: 'publish', topic, payload, qos, retain: retains(outbound), dup: false }
    const expiresAt = expiresAtMs(outbound.envelope)
    if (expiresAt !== undefined) packet.messageExpiry = expiresAt
    return packet as PublishPacket
  }
}

/** Never rejects: what goes wrong from here on is the broker's fault, not the message's. */
async function handOver(broker: EmbeddedBroker, packet: PublishPacket): Promise<Outcome> {
  try {
    await withDeadline(broker.publishForTarget(packet), sendWithinMs, 'publishing to the embedded broker')
    return delivered
  } catch (error) {
    if (error instanceof RetryableError) return retryable(error)
    return retryable(
      new RetryableError('PEER_LOST', `the embedded broker failed: ${messageOf(error)}`, { cause: error }),
    )
  }
}
