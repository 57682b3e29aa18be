import type { Budget } from '../../../src/adapter/budget.ts'
import type { Context, Deliver, Source } from '../../../src/adapter/contract.ts'
import { SourceSession, sourceBudget } from '../../../src/adapter/source-session.ts'
import { messageOf, RetryableError } from '../../../src/errors.ts'
import { decode } from '../codec.ts'
import type { MqttFrom } from '../config.ts'
import { inFlightLimits } from '../settings.ts'
import { filterOf } from '../topic.ts'
import { seldom } from './admission/seldom.ts'
import type { MqttBrokerConnection } from './config.ts'
import { type Consumer, type DeviceMessage, devices, type Intake } from './intake.ts'
import { type BrokerHandle, type SharedBroker, sharedBrokerOf } from './shared-broker.ts'

/**
 * What devices publish to the topics of `froms`. QoS 1 and 2 are acknowledged after `accept` or `reject`; `release`
 * disconnects the device unacknowledged, as MQTT 3.1.1 has no other way to say so. QoS 0 is never held.
 */
export function createBrokerSource(connection: MqttBrokerConnection, froms: readonly From[], context: Context): Source {
  return new BrokerSource(connection, froms, context)
}

/** Of a `from`; the publisher's QoS rules. */
type From = Pick<MqttFrom, 'topic' | 'maxInFlight'>

class BrokerSource implements Source {
  readonly #shared: SharedBroker
  readonly #intake: Intake
  readonly #context: Context
  readonly #budget: Budget
  readonly #undecodable: ReturnType<typeof seldom>
  #handle: BrokerHandle | undefined
  #onClose: (() => void) | undefined

  constructor(connection: MqttBrokerConnection, froms: readonly From[], context: Context) {
    this.#shared = sharedBrokerOf(connection)
    const filters = [...new Set(froms.map(({ topic }) => filterOf(topic)))]
    this.#intake = this.#shared.intakeOf(filters)
    this.#context = context
    const maxInFlight = inFlightLimits(froms, connection.maxInFlight)
    this.#budget = sourceBudget(context, { maxInFlight, parts: filters.length })
    this.#undecodable = seldom(context.log, 'a message could not be decoded; its device is disconnected', 'error')
  }

  async open(): Promise<void> {
    this.#handle ??= await this.#shared.acquire(this.#context)
  }

  async consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    const handle = this.#handle
    if (handle === undefined) throw new RetryableError('PEER_LOST', 'the embedded broker is not open')
    const session = new SourceSession(devices, { budget: this.#budget, gather: 'turn' })
    const consumer = this.#consumer(deliver, session)
    const detach = () => this.#intake.detach(consumer)
    this.#onClose = () => session.end(new RetryableError('PEER_LOST', 'the embedded broker was closed'))
    void handle.broker.failed.then((error) => session.end(error))
    signal.addEventListener('abort', detach, { once: true })
    this.#intake.attach(consumer)
    if (signal.aborted) detach()
    try {
      await session.run(deliver, signal)
    } finally {
      detach()
      signal.removeEventListener('abort', detach)
    }
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    this.#onClose?.()
    this.#onClose = undefined
    await handle?.release()
  }

  #consumer(deliver: Deliver, session: SourceSession<DeviceMessage>): Consumer {
    const { connection, format } = this.#context
    const at = { connection, version: 4, format } as const
    return {
      budget: this.#budget,
      onUndecodable: (error) => this.#undecodable({ error: messageOf(error) }),
      decode: (packet, arrivedAt) => {
        if (packet.qos === 0) this.#context.count('mqtt_qos0_received')
        return decode(
          {
            topic: packet.topic,
            payload: packet.payload as Buffer,
            qos: packet.qos,
            retain: packet.retain ?? false,
            dup: packet.dup ?? false,
          },
          at,
          arrivedAt,
        )
      },
      deliver,
      session,
    }
  }
}
