/**
 * What leaves on one connection: publishes within a window, and the confirmation of each.
 *
 * A message is confirmed by PUBACK (QoS 1) or PUBCOMP (QoS 2), or when the system has taken its bytes (QoS 0). Publishes
 * leave in the order of `send`, also across two sends under way at once.
 */
import type { Packet } from 'mqtt'
import { delivered, type Outbound, type Outcome, retryable } from '../../../src/adapter/contract.ts'
import { Flight, unsendable } from '../../../src/adapter/outcomes.ts'
import type { Pace } from '../../../src/adapter/pace.ts'
import { PermanentError, RetryableError } from '../../../src/errors.ts'
import { encode, retains } from '../codec.ts'
import type { MqttTarget } from '../config.ts'
import { outcomeOfReason } from '../errors.ts'
import { topicProblem } from '../topic.ts'
import type { Link, PeerLimits } from './connection.ts'
import { AckWriter, ackHeader, type Publish, PublishWriter } from './wire.ts'

/** One `send`. */
interface Sending {
  readonly flight: Flight
  readonly batch: readonly Outbound<MqttTarget>[]
}

/** One message of a `send`. */
interface Slot {
  readonly sending: Sending
  readonly index: number
}

export class Outflow {
  readonly #pace: Pace
  readonly #underWay = new Set<Sending>()
  readonly #unconfirmed = new Map<number, Slot>()
  readonly #acks = new AckWriter()
  #link: Link | undefined
  #writer = new PublishWriter(4, 0)
  #limits: PeerLimits | undefined
  #window = 0
  #queue: Sending[] = []
  /** Next message of the first in the queue. */
  #next = 0
  #lastId = 0
  #isPumpDue = false
  #over: RetryableError | undefined
  #lastTopic = ''

  constructor(pace: Pace) {
    this.#pace = pace
  }

  start(link: Link, maxInFlight: number): void {
    this.#link = link
    this.#limits = link.limits
    this.#window = Math.min(link.limits.receiveMaximum, maxInFlight)
    this.#writer = new PublishWriter(link.version, link.limits.maximumPacketSize)
    link.onDrain(() => this.#pumpSoon())
  }

  async send(batch: readonly Outbound<MqttTarget>[], signal: AbortSignal): Promise<readonly Outcome[]> {
    const over = this.#over
    if (over !== undefined) return batch.map(() => retryable(over))
    const flight = new Flight(batch.length)
    const sending = { flight, batch }
    this.#underWay.add(sending)
    this.#queue.push(sending)
    this.#pumpSoon()
    try {
      return await flight.land({
        pace: this.#pace,
        signal,
        abandoned: () => new RetryableError('PEER_TIMEOUT', 'sending was abandoned'),
        late: (ms) => this.#expire(flight, ms),
      })
    } finally {
      this.#underWay.delete(sending)
    }
  }

  /** The hook for `LinkOptions.take`. */
  take(packet: Packet): boolean {
    if (packet.cmd === 'puback' || packet.cmd === 'pubcomp')
      this.#confirm(packet.messageId ?? 0, packet.reasonCode ?? 0)
    else if (packet.cmd === 'pubrec') this.#release(packet.messageId ?? 0, packet.reasonCode ?? 0)
    else return false
    return true
  }

  /** The connection is gone: what is not confirmed is unknown, and is to be sent again. */
  stop(error: RetryableError): void {
    this.#over ??= error
    this.#queue = []
    this.#unconfirmed.clear()
    for (const { flight } of this.#underWay) flight.fail(error)
  }

  /** What is unconfirmed is unknown, and goes out again on another connection: this one could only confirm it too late. */
  #expire(flight: Flight, ms: number): void {
    const error = new RetryableError('PEER_TIMEOUT', `the broker did not confirm within ${ms} ms`)
    this.#pace.ended(flight.answered, ms)
    flight.fail(error)
    this.#link?.fail(error)
  }

  #confirm(packetId: number, reasonCode: number): void {
    const slot = this.#unconfirmed.get(packetId)
    if (slot === undefined) return
    this.#unconfirmed.delete(packetId)
    this.#pace.heard()
    const { sending, index } = slot
    sending.flight.settle(index, reasonCode < 128 ? delivered : outcomeOfReason(reasonCode, topicOf(slot)))
    if (this.#queue.length > 0) this.#pumpSoon()
  }

  /** PUBREC: QoS 2's message has arrived; a refusal ends it, else PUBREL asks for the end. [MQTT-4.3.3-4] */
  #release(packetId: number, reasonCode: number): void {
    if (reasonCode >= 128) {
      this.#confirm(packetId, reasonCode)
      return
    }
    this.#pace.heard()
    this.#acks.add(ackHeader.pubrel, packetId)
    this.#pumpSoon()
  }

  /** Once for all that arrives in one read or is sent in one turn. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    queueMicrotask(() => {
      this.#isPumpDue = false
      this.#pump()
    })
  }

  #pump(): void {
    const link = this.#link
    if (link === undefined || this.#over !== undefined) return
    if (!this.#acks.isEmpty) link.write(this.#acks.take())
    const sent: Slot[] = []
    while (this.#unconfirmed.size < this.#window && link.isWritable) {
      const slot = this.#nextSlot()
      if (slot === undefined) break
      this.#publish(slot, link, sent)
    }
    this.#flush(link, sent)
  }

  #nextSlot(): Slot | undefined {
    for (let sending = this.#queue[0]; sending !== undefined; sending = this.#queue[0]) {
      const index = this.#next
      if (index < sending.batch.length && !sending.flight.isDone) {
        this.#next += 1
        if (!sending.flight.isAnswered(index)) return { sending, index }
      } else {
        this.#queue.shift()
        this.#next = 0
      }
    }
    return undefined
  }

  #publish(slot: Slot, link: Link, sent: Slot[]): void {
    const outbound = slot.sending.batch[slot.index] as Outbound<MqttTarget>
    const { topic, qos } = outbound.target
    const retain = retains(outbound)
    const packetId = qos === 0 ? 0 : this.#nextId()
    try {
      this.#check({ topic, qos, retain })
      const { payload, properties } = encode(outbound, link.version)
      this.#writer.add({ topic, payload, qos, retain, properties }, packetId)
    } catch (error) {
      slot.sending.flight.settle(slot.index, unsendable(error))
      return
    }
    if (qos === 0) sent.push(slot)
    else this.#unconfirmed.set(packetId, slot)
  }

  /** What would make the broker end the connection is refused here: the message would come again and again. */
  #check({ topic, qos, retain }: Pick<Publish, 'topic' | 'qos' | 'retain'>): void {
    const { maximumQos = 2, canRetain = true } = this.#limits ?? {}
    if (topic !== this.#lastTopic) {
      const problem = topicProblem(topic)
      if (problem !== undefined) throw new PermanentError('DESTINATION_INVALID', problem)
      this.#lastTopic = topic
    }
    if (qos > maximumQos) {
      throw new PermanentError('MESSAGE_REFUSED', `the broker takes QoS ${maximumQos} at most; set qos`)
    }
    if (retain && !canRetain) throw new PermanentError('MESSAGE_REFUSED', 'the broker retains nothing')
  }

  /** A packet id not in use; the window is smaller than their number. [MQTT-2.2.1-3] */
  #nextId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1
    while (this.#unconfirmed.has(this.#lastId))
    return this.#lastId
  }

  #flush(link: Link, sent: readonly Slot[]): void {
    const chunks = this.#writer.take()
    for (const [i, chunk] of chunks.entries()) {
      const isLast = i === chunks.length - 1
      if (isLast && sent.length > 0) link.write(chunk, (error) => this.#handedOver(sent, error))
      else link.write(chunk)
    }
  }

  #handedOver(sent: readonly Slot[], error: Error | null | undefined): void {
    if (error) return // the connection is lost and tells its own reason
    this.#pace.heard()
    for (const { sending, index } of sent) sending.flight.settle(index, delivered)
  }
}

function topicOf({ sending, index }: Slot): string {
  return sending.batch[index]?.target.topic ?? ''
}
