/**
 * What arrives on one connection: decoded, handed over in batches, acknowledged in the order of receipt once settled.
 *
 * QoS 1: PUBACK is held back. QoS 2: PUBREC is held back, not PUBCOMP: at PUBREC the broker discards the message, so it
 * must be safe by then [MQTT-4.3.3-4]. PUBREL is answered at once, since nothing but the packet id is left.
 */

import type { IPublishPacket, Packet } from 'mqtt'
import { Budget } from '../../../src/adapter/budget.ts'
import type { Context, Delivery, Settlement } from '../../../src/adapter/contract.ts'
import { OrderedPrefix } from '../../../src/adapter/ordered.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import type { GatewayError } from '../../../src/errors.ts'
import { decode } from '../codec.ts'
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

export function createSession(context: Context, maxInFlight: number): Session {
  const limits = { maxCount: maxInFlight, maxBytes: Number.POSITIVE_INFINITY, parent: context.budget }
  return { accepted: new Set(), budget: new Budget(limits) }
}

/** A QoS 1 or 2 message on its way to its acknowledgement. */
interface Receipt {
  readonly packetId: number
  readonly qos: 1 | 2
  /** Released while draining: left to the broker, which delivers it again. */
  isSkipped: boolean
}

export class Intake {
  readonly #session: Session
  readonly #context: Context
  readonly #filters: Pick<HeldFilters, 'readersOf'>
  readonly #acks = new AckWriter()
  readonly #order = new OrderedPrefix<Receipt>((receipt) => this.#acknowledge(receipt))
  readonly #end = Promise.withResolvers<void>()
  readonly #over = new AbortController()
  #link: Link | undefined
  #deliver: ((batch: readonly Delivery[]) => void) | undefined
  #arrived: Arrived[] = []
  #again: MqttDelivery[] = []
  #inFlight = 0
  #isDraining = false
  #isOver = false
  #isHandOverDue = false
  #isAckDue = false
  #isWaiting = false

  /** `filters` knows whom the copies of a message are for. */
  constructor(session: Session, context: Context, filters: Pick<HeldFilters, 'readersOf'>) {
    this.#session = session
    this.#context = context
    this.#filters = filters
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
    if (!link.sessionPresent) this.#session.accepted.clear()
    if (!this.#acks.isEmpty) this.#ackSoon()
    if (this.#arrived.length > 0) this.#handOverSoon()
  }

  /** Hands messages over until `signal` aborts; resolves when all are settled, rejects when the connection is lost. */
  async consume(deliver: (batch: readonly Delivery[]) => void, signal: AbortSignal): Promise<void> {
    this.#deliver = deliver
    const drain = () => this.#drain()
    signal.addEventListener('abort', drain, { once: true })
    if (signal.aborted) drain()
    else this.#handOverSoon()
    try {
      await this.#end.promise
    } finally {
      signal.removeEventListener('abort', drain)
    }
  }

  /** The connection is gone: nothing of it is acknowledged any more. [MQTT-4.4.0-1] lets the broker send it again. */
  stop(error: GatewayError): void {
    if (this.#isOver) return
    this.#writeAcks() // what is settled already, where the connection still stands
    this.#isOver = true
    this.#over.abort()
    this.#arrived = []
    this.#end.promise.catch(() => {}) // nobody may be consuming
    this.#end.reject(error)
    for (const delivery of this.#again.splice(0)) this.finish(delivery)
  }

  #receive(packet: IPublishPacket): void {
    if (this.#isOver || this.#isDraining) return
    if (packet.topic === '') {
      this.#link?.fail(new Error('the broker uses a topic alias, which it was not offered')) // [MQTT-3.3.2-9]
      return
    }
    if (packet.qos === 2 && this.#isRepeated(packet)) {
      this.#order.finish(this.#order.add({ packetId: packet.messageId ?? 0, qos: 2, isSkipped: false }))
      return
    }
    this.#arrived.push({ packet, atMs: Date.now() }) // or its time to live would begin when there is room for it
    if (!this.#isHandOverDue) this.#handOverSoon()
  }

  /** Without DUP it is another message [MQTT-3.3.1-1]: the broker has lost its side of the handshake and uses the id anew. */
  #isRepeated({ dup, messageId = 0 }: IPublishPacket): boolean {
    if (!dup) this.#session.accepted.delete(messageId)
    return this.#session.accepted.has(messageId)
  }

  #complete(packetId: number): void {
    this.#session.accepted.delete(packetId)
    this.#acks.add(ackHeader.pubcomp, packetId)
    this.#ackSoon()
  }

  /** mqtt.js works through the packets of one read in ticks; microtasks run after the last of them. */
  #handOverSoon(): void {
    if (this.#deliver === undefined || this.#isHandOverDue) return
    this.#isHandOverDue = true
    queueMicrotask(() => {
      this.#isHandOverDue = false
      this.#handOver()
    })
  }

  #handOver(): void {
    if (this.#isOver || this.#isDraining || this.#link === undefined) return
    const { budget } = this.#session
    const batch: Delivery[] = []
    for (const arrived of this.#arrived) {
      if (budget.isFull) break
      batch.push(this.#deliveryOf(arrived, this.#link))
    }
    this.#arrived = this.#arrived.slice(batch.length)
    if (batch.length > 0) this.#deliver?.(batch)
    if (budget.isFull || this.#arrived.length > 0) void this.#pauseUntilRoom(this.#link)
    else this.#link.resume()
  }

  async #pauseUntilRoom(link: Link): Promise<void> {
    if (this.#isWaiting) return
    this.#isWaiting = true
    link.pause()
    await this.#session.budget.whenRoom(this.#over.signal)
    this.#isWaiting = false
    this.#handOver()
  }

  #deliveryOf({ packet, atMs }: Arrived, link: Link): Delivery {
    const { connection, format } = this.#context
    const envelope = decode(packet, { connection, version: link.version, format }, atMs)
    const receipt = receiptOf(packet)
    const place = receipt === undefined ? -1 : this.#order.add(receipt)
    const done = receipt === undefined ? undefined : () => this.#order.finish(place)
    const sizeBytes = Math.max(envelope.sizeBytes, packet.length ?? 0) // user properties count too
    this.#session.budget.take(sizeBytes)
    this.#inFlight += 1
    const readers = this.#filters.readersOf(packet.properties?.subscriptionIdentifier)
    return new MqttDelivery(this, { envelope, sizeBytes, address: packet.topic, readers, receipt, done })
  }

  /** A delivery was settled; called once per delivery. */
  settled(delivery: MqttDelivery, settlement: Settlement): void {
    if (settlement !== 'release' || this.#isOver) this.finish(delivery)
    else if (this.#isDraining) this.#leaveToBroker(delivery)
    else this.#redeliver(delivery)
  }

  /** Accepted, rejected or of a connection that is gone: it is not in flight any more. */
  finish(delivery: MqttDelivery): void {
    this.#session.budget.give(delivery.arrival.sizeBytes)
    this.#inFlight -= 1
    delivery.arrival.done?.()
    if (this.#isDraining && this.#inFlight === 0) this.#finishDrain()
  }

  #leaveToBroker(delivery: MqttDelivery): void {
    if (delivery.arrival.receipt !== undefined) delivery.arrival.receipt.isSkipped = true
    this.finish(delivery)
  }

  #redeliver(delivery: MqttDelivery): void {
    this.#again.push(delivery)
    if (this.#again.length > 1) return
    setTimeout(() => {
      const batch = this.#again.splice(0).map((each) => each.anew())
      if (batch.length > 0) this.#deliver?.(batch)
    }, redeliverMs)
  }

  #drain(): void {
    if (this.#isOver || this.#isDraining) return
    this.#isDraining = true
    this.#arrived = []
    this.#link?.pause()
    for (const delivery of this.#again.splice(0)) this.#leaveToBroker(delivery)
    if (this.#inFlight === 0) this.#finishDrain()
  }

  #finishDrain(): void {
    this.#writeAcks()
    this.#end.resolve()
  }

  #acknowledge({ packetId, qos, isSkipped }: Receipt): void {
    if (isSkipped || this.#isOver) return
    if (qos === 2) this.#session.accepted.add(packetId)
    this.#acks.add(qos === 2 ? ackHeader.pubrec : ackHeader.puback, packetId)
    if (!this.#isAckDue) this.#ackSoon()
  }

  /** One write for all that is settled in this turn of the event loop. */
  #ackSoon(): void {
    if (this.#isAckDue || this.#link === undefined) return
    this.#isAckDue = true
    setImmediate(() => this.#writeAcks())
  }

  #writeAcks(): void {
    this.#isAckDue = false
    if (!this.#acks.isEmpty && !this.#isOver) this.#link?.write(this.#acks.take())
  }
}

/** Not yet handed over; `atMs` is milliseconds since the epoch. */
interface Arrived {
  readonly packet: IPublishPacket
  readonly atMs: number
}

/** What is known of a message, however often it is handed over. */
interface Arrival {
  readonly envelope: Envelope
  /** What it has taken of the budget. */
  readonly sizeBytes: number
  readonly address: string
  readonly readers: ReadonlySet<unknown> | undefined
  readonly receipt: Receipt | undefined
  readonly done: (() => void) | undefined
}

class MqttDelivery implements Delivery {
  readonly envelope: Envelope
  readonly address: string
  readonly readers: ReadonlySet<unknown> | undefined
  readonly arrival: Arrival
  readonly #intake: Intake
  #isSettled = false

  constructor(intake: Intake, arrival: Arrival) {
    this.envelope = arrival.envelope
    this.address = arrival.address
    this.readers = arrival.readers
    this.arrival = arrival
    this.#intake = intake
  }

  settle(settlement: Settlement): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#intake.settled(this, settlement)
  }

  /** The same message, to be settled once more. */
  anew(): MqttDelivery {
    return new MqttDelivery(this.#intake, this.arrival)
  }
}

function receiptOf({ qos, messageId = 0 }: IPublishPacket): Receipt | undefined {
  return qos === 0 ? undefined : { packetId: messageId, qos, isSkipped: false }
}
