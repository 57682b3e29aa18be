/**
 * What arrives on one connection: decoded, handed over in batches, acknowledged in the order of receipt once settled.
 *
 * QoS 1: PUBACK is held back. QoS 2: PUBREC is held back, not PUBCOMP: at PUBREC the broker discards the message, so it
 * must be safe by then [MQTT-4.3.3-4]. PUBREL is answered at once, since nothing but the packet id is left.
 */

import type { IPublishPacket, Packet } from 'mqtt'
import type { Budget } from '../../../src/adapter/budget.ts'
import type { Context, Deliver, Settlement } from '../../../src/adapter/contract.ts'
import { OrderedPrefix } from '../../../src/adapter/ordered.ts'
import { Queue } from '../../../src/adapter/queue.ts'
import { SourceDelivery } from '../../../src/adapter/source-delivery.ts'
import { type SourcePeer, SourceSession, sourceBudget } from '../../../src/adapter/source-session.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import type { GatewayError } from '../../../src/errors.ts'
import { decode } from '../codec.ts'
import type { MqttVersion } from './client-options.ts'
import type { Link } from './connection.ts'
import type { HeldFilters } from './held-filters.ts'
import { AckWriter, ackHeader } from './wire.ts'

/** How long a released message waits before it is handed over again. */
const redeliverMs = 100

/** What outlives a connection: the session's QoS 2 state, and the budget that late settlements still give back to. */
export interface Session {
  /** Packet ids of QoS 2 messages that were accepted and whose PUBREL is still to come: a repetition is not handed over. */
  readonly accepted: Set<number>
  readonly budget: Budget
}

export function createSession(context: Context, maxInFlight: readonly number[]): Session {
  return { accepted: new Set(), budget: sourceBudget(context, { maxInFlight }) }
}

/** What is read through the connection. */
export interface Reading extends Pick<HeldFilters, 'readersOf'> {
  /** Each message answers a request. */
  readonly isOfReplies?: boolean
}

export class Intake implements SourcePeer<MqttDelivery> {
  readonly #kept: Session
  readonly #context: Context
  readonly #reading: Reading
  readonly #session: SourceSession<MqttDelivery>
  readonly #acks = new AckWriter()
  readonly #order = new OrderedPrefix<Owed>((owed) => this.#acknowledge(owed))
  readonly #arrived = new Queue<Arrived>()
  /** Packet ids of what was released while draining: the broker gives it again, on another connection. */
  readonly #left = new Set<number>()
  #link: Link | undefined
  #isAckDue = false

  /** `reading` knows whom the copies of a message are for. */
  constructor(kept: Session, context: Context, reading: Reading) {
    this.#kept = kept
    this.#context = context
    this.#reading = reading
    // mqtt.js works through the packets of one read in ticks, and microtasks run after the last of them
    this.#session = new SourceSession(this, { budget: kept.budget, gather: 'read', redeliverMs })
  }

  /** The hook for `LinkOptions.take`. */
  take(packet: Packet): boolean {
    if (packet.cmd === 'publish') this.#receive(packet)
    else if (packet.cmd === 'pubrel') this.#complete(packet.messageId ?? 0)
    else return false
    return true
  }

  /** The connection stands: what its session left behind counts, or not. */
  start(link: Link): void {
    this.#link = link
    if (!link.sessionPresent) this.#kept.accepted.clear()
    if (!this.#acks.isEmpty) this.#ackSoon()
  }

  /** Hands messages over until `signal` aborts; resolves when all are settled, rejects when the connection is lost. */
  async consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    await this.#session.run(deliver, signal)
    this.#writeAcks()
  }

  /** The connection is gone: nothing of it is acknowledged any more. [MQTT-4.4.0-1] lets the broker send it again. */
  stop(error: GatewayError): void {
    this.#writeAcks() // what is settled already, where the connection still stands
    this.#link = undefined
    this.#session.end(error)
  }

  next(): MqttDelivery | undefined {
    const link = this.#link
    const arrived = link && this.#arrived.shift()
    return arrived && this.#deliveryOf(arrived, link.version)
  }

  settle({ qos, packetId, place }: MqttDelivery, settlement: Settlement): void {
    if (qos === 0) return
    if (settlement === 'release') this.#left.add(packetId)
    this.#order.finish(place)
  }

  pause(): void {
    this.#link?.pause()
  }

  resume(): void {
    this.#link?.resume()
  }

  #receive(packet: IPublishPacket): void {
    if (this.#session.isStopped) return
    if (packet.topic === '') {
      this.#link?.fail(new Error('the broker uses a topic alias, which it was not offered')) // [MQTT-3.3.2-9]
      return
    }
    if (packet.qos === 2 && this.#isRepeated(packet)) {
      this.#order.finish(this.#order.add(owedFor(packet)))
      return
    }
    this.#arrived.push({ packet, atMs: Date.now() }) // or its time to live would begin when there is room for it
    this.#session.arrived()
  }

  /** Without DUP it is another message [MQTT-3.3.1-1]: the broker has lost its side of the handshake and uses the id anew. */
  #isRepeated({ dup, messageId = 0 }: IPublishPacket): boolean {
    if (!dup) this.#kept.accepted.delete(messageId)
    return this.#kept.accepted.has(messageId)
  }

  #complete(packetId: number): void {
    this.#kept.accepted.delete(packetId)
    this.#acks.add(ackHeader.pubcomp, packetId)
    this.#ackSoon()
  }

  #deliveryOf({ packet, atMs }: Arrived, version: MqttVersion): MqttDelivery {
    const { connection, format } = this.#context
    const { isOfReplies } = this.#reading
    const envelope = decode(packet, { connection, version, format, isOfReplies }, atMs)
    const readers = this.#reading.readersOf(packet.properties?.subscriptionIdentifier)
    const delivery = new MqttDelivery(envelope, packet, readers)
    if (packet.qos > 0) delivery.place = this.#order.add(owedFor(packet))
    return delivery
  }

  #acknowledge(owed: Owed): void {
    const packetId = owed & 0xffff
    const isQos2 = owed > 0xffff
    if (this.#link === undefined || this.#left.delete(packetId)) return
    if (isQos2) this.#kept.accepted.add(packetId)
    this.#acks.add(isQos2 ? ackHeader.pubrec : ackHeader.puback, packetId)
    this.#ackSoon()
  }

  /** One write for all that is settled in this turn of the event loop. */
  #ackSoon(): void {
    if (this.#isAckDue || this.#link === undefined) return
    this.#isAckDue = true
    setImmediate(() => this.#writeAcks())
  }

  #writeAcks(): void {
    this.#isAckDue = false
    if (!this.#acks.isEmpty) this.#link?.write(this.#acks.take())
  }
}

/** Not yet handed over; `atMs` is milliseconds since the epoch. */
interface Arrived {
  readonly packet: IPublishPacket
  readonly atMs: number
}

/** An acknowledgement that is due once all before it are: the packet id, and above its 16 bits a 1 for QoS 2. */
type Owed = number

function owedFor({ qos, messageId = 0 }: IPublishPacket): Owed {
  return qos === 2 ? 0x1_0000 + messageId : messageId
}

class MqttDelivery extends SourceDelivery {
  readonly readers: ReadonlySet<unknown> | undefined
  readonly qos: 0 | 1 | 2
  readonly packetId: number
  /** Of QoS 1 and 2: in the order of acknowledgements. */
  place = 0

  constructor(envelope: Envelope, packet: IPublishPacket, readers: ReadonlySet<unknown> | undefined) {
    super(envelope, packet.topic, Math.max(envelope.sizeBytes, packet.length ?? 0)) // user properties count too
    this.readers = readers
    this.qos = packet.qos
    this.packetId = packet.messageId ?? 0
  }
}
