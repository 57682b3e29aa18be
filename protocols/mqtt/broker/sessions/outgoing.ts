/** What waits for one device with a kept session: unsent, and sent but unacknowledged messages, in order. */
import { ownBytes } from '../../../../src/envelope/own-bytes.ts'
import type { StoredPacket } from '../driver.ts'
import type { EntryStore } from './entry-store.ts'
import { decodeRecord, encodePacket, encodeRecord, isExpired, numberedKey, spaces } from './records.ts'

/** Of its objects, measured: a message of 1 byte costs as much. */
const flatBytes = 512

interface Waiting {
  packet: StoredPacket
  /** PUBREC came: only a PUBREL with this id is left of it. */
  isReleased: boolean
  wasSent: boolean
}

interface SentFields {
  readonly messageId: number
  readonly isReleased: boolean
}

export class OutgoingQueue {
  readonly #clientId: string
  readonly #entryStore: EntryStore
  /** By the broker's counter, which is also the order. */
  readonly #waiting = new Map<number, Waiting>()
  readonly #counterOf = new Map<number, number>()
  #bytes = 0
  /** Nothing expires before. */
  #nextExpiry = Number.POSITIVE_INFINITY

  constructor(clientId: string, entryStore: EntryStore) {
    this.#clientId = clientId
    this.#entryStore = entryStore
  }

  get size(): number {
    return this.#waiting.size
  }

  get bytes(): number {
    return this.#bytes
  }

  add(packet: StoredPacket): void {
    const counter = packet.brokerCounter ?? 0
    if (this.#waiting.has(counter)) return
    this.restore(packet)
    this.#entryStore.put(spaces.queued, this.#key(counter), encodePacket(packet))
  }

  /** Puts a message in that is in the store; those of one queue come in their order. `sent` is its record there. */
  restore(packet: StoredPacket, sent?: Uint8Array): void {
    const { cmd, topic, payload, qos, brokerId, brokerCounter = 0, messageExpiry } = packet
    // [MQTT-3.3.1-3] [MQTT-3.3.1-9]: both flags are about the connection it came by
    const flags = { retain: false, dup: false }
    const kept: StoredPacket = {
      cmd,
      topic,
      payload: own(payload),
      qos,
      ...flags,
      brokerCounter,
      messageId: undefined,
    }
    if (brokerId !== undefined) kept.brokerId = brokerId
    if (messageExpiry !== undefined) {
      kept.messageExpiry = messageExpiry
      this.#nextExpiry = Math.min(this.#nextExpiry, messageExpiry)
    }
    const waiting = { packet: kept, isReleased: false, wasSent: sent !== undefined }
    this.#bytes += costOf(kept)
    this.#waiting.set(brokerCounter, waiting)
    if (sent === undefined) return
    const { messageId, isReleased } = decodeRecord<SentFields>(sent).fields
    this.#identify(waiting, messageId)
    if (isReleased) this.#release(waiting)
  }

  /**
   * Notes the packet id a message was sent with, or, for a PUBREL, that only this is left of it. True where the message
   * was sent before.
   */
  update(packet: StoredPacket): boolean {
    const { messageId } = packet
    if (messageId === undefined) return false
    const counter = packet.cmd === 'pubrel' ? this.#counterOf.get(messageId) : packet.brokerCounter
    const waiting = counter === undefined ? undefined : this.#waiting.get(counter)
    if (waiting === undefined) return false // nothing kept: it was dropped when the queue was full
    const wasSent = waiting.wasSent
    const isNews = packet.cmd === 'pubrel' ? !waiting.isReleased : waiting.packet.messageId !== messageId
    waiting.wasSent = true
    if (!isNews) return wasSent
    if (packet.cmd === 'pubrel') this.#release(waiting)
    else this.#identify(waiting, messageId)
    this.#putSent(waiting)
    return wasSent
  }

  /** Gives QoS 2 messages their packet ids ahead of sending, so that one write to the disk is enough for all of them. */
  identify(nextId: () => number): void {
    for (const waiting of this.#waiting.values()) {
      const { qos, messageId } = waiting.packet
      if (qos !== 2 || messageId !== undefined) continue
      let id = nextId()
      while (this.#counterOf.has(id)) id = nextId()
      this.#identify(waiting, id)
      this.#putSent(waiting)
    }
  }

  /** Forgets an acknowledged message. */
  remove(messageId: number | undefined): StoredPacket | undefined {
    const counter = messageId === undefined ? undefined : this.#counterOf.get(messageId)
    return counter === undefined ? undefined : this.#drop(counter)
  }

  /** Forgets all whose topic does not pass. */
  retainOnly(passes: (topic: string) => boolean): void {
    for (const [counter, { packet }] of [...this.#waiting]) if (!passes(packet.topic)) this.#drop(counter)
  }

  /**
   * Forgets what has expired; how many there were. A QoS 2 message that was sent once goes on: its device may have it, and
   * must not take the next one with its packet id for the same.
   */
  expire(nowMs: number): number {
    if (nowMs < this.#nextExpiry) return 0
    this.#nextExpiry = Number.POSITIVE_INFINITY
    const before = this.size
    for (const [counter, { packet, wasSent }] of this.#waiting) {
      if (packet.messageExpiry === undefined || (wasSent && packet.qos === 2)) continue
      if (isExpired(packet, nowMs)) this.#drop(counter)
      else this.#nextExpiry = Math.min(this.#nextExpiry, packet.messageExpiry)
    }
    return before - this.size
  }

  /** True while it waits here. */
  has({ brokerCounter = 0 }: StoredPacket): boolean {
    return this.#waiting.has(brokerCounter)
  }

  /** All of it for a device that is back: messages, and PUBRELs of which the packet id is left. */
  *replay(): Generator<StoredPacket> {
    for (const { packet, isReleased } of [...this.#waiting.values()]) {
      yield isReleased ? ({ cmd: 'pubrel', messageId: packet.messageId } as StoredPacket) : { ...packet }
    }
  }

  #identify(waiting: Waiting, messageId: number): void {
    const { messageId: before, brokerCounter = 0 } = waiting.packet
    if (before !== undefined && this.#counterOf.get(before) === brokerCounter) this.#counterOf.delete(before)
    waiting.packet.messageId = messageId
    this.#counterOf.set(messageId, brokerCounter)
  }

  #release(waiting: Waiting): void {
    this.#bytes -= costOf(waiting.packet)
    waiting.packet = { ...waiting.packet, payload: new Uint8Array(0) }
    waiting.isReleased = true
    this.#bytes += costOf(waiting.packet)
  }

  #drop(counter: number): StoredPacket | undefined {
    const waiting = this.#waiting.get(counter)
    if (waiting === undefined) return undefined
    const { packet } = waiting
    this.#waiting.delete(counter)
    this.#bytes -= costOf(packet)
    this.#entryStore.delete(spaces.queued, this.#key(counter))
    if (packet.messageId !== undefined) {
      if (this.#counterOf.get(packet.messageId) === counter) this.#counterOf.delete(packet.messageId)
      this.#entryStore.delete(spaces.sent, this.#key(counter))
    }
    return packet
  }

  #putSent({ packet, isReleased }: Waiting): void {
    const fields: SentFields = { messageId: packet.messageId ?? 0, isReleased }
    this.#entryStore.put(spaces.sent, this.#key(packet.brokerCounter ?? 0), encodeRecord(fields))
  }

  #key(counter: number): string {
    return numberedKey(counter, this.#clientId)
  }
}

/** Memory it holds. */
export function costOf(packet: StoredPacket): number {
  return (packet.payload?.length ?? 0) + (packet.topic?.length ?? 0) + flatBytes
}

/** What the broker publishes of itself may be text. */
function own(payload: Uint8Array): Uint8Array {
  return payload instanceof Uint8Array ? ownBytes(payload) : payload
}
