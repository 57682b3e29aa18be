/** What waits for one device with a kept session: unsent, and sent but unacknowledged messages, in order. */
import type { StoredPacket } from './driver.ts'

const flatBytes = 256

export class OutgoingQueue {
  /** By the broker's counter, which is also the order. */
  readonly #packets = new Map<number, StoredPacket>()
  readonly #counterOf = new Map<number, number>()
  #bytes = 0

  get size(): number {
    return this.#packets.size
  }

  get bytes(): number {
    return this.#bytes
  }

  add(packet: StoredPacket): void {
    const counter = packet.brokerCounter ?? 0
    if (!this.#packets.has(counter)) this.#bytes += costOf(packet)
    this.#packets.set(counter, { ...packet, messageId: undefined })
  }

  /** Notes the packet id a message was sent with, or, for a PUBREL, that only this is left of it. */
  update(packet: StoredPacket): void {
    if (packet.messageId === undefined) return
    const sentAs = this.#counterOf.get(packet.messageId)
    if (packet.cmd === 'pubrel') {
      if (sentAs !== undefined) this.#replace(sentAs, packet)
      return
    }
    const kept = this.#packets.get(packet.brokerCounter ?? 0)
    if (kept === undefined) return // nothing kept: it was dropped when the queue was full
    if (kept.messageId !== undefined) this.#counterOf.delete(kept.messageId)
    kept.messageId = packet.messageId
    this.#counterOf.set(packet.messageId, packet.brokerCounter ?? 0)
  }

  /** Forgets an acknowledged message. */
  remove(messageId: number | undefined): StoredPacket | undefined {
    const counter = messageId === undefined ? undefined : this.#counterOf.get(messageId)
    if (messageId === undefined || counter === undefined) return undefined
    const packet = this.#packets.get(counter)
    this.#counterOf.delete(messageId)
    this.#packets.delete(counter)
    if (packet !== undefined) this.#bytes -= costOf(packet)
    return packet
  }

  /** All of it for a device that is back; what was sent before is marked as a duplicate [MQTT-3.3.1-1]. */
  *replay(): Generator<StoredPacket> {
    for (const packet of [...this.#packets.values()]) {
      const isResent = packet.cmd === 'publish' && packet.messageId !== undefined
      yield isResent ? { ...packet, dup: true } : packet
    }
  }

  #replace(counter: number, pubrel: StoredPacket): void {
    const kept = this.#packets.get(counter)
    if (kept === undefined) return
    this.#bytes -= costOf(kept)
    const left: StoredPacket = { ...kept, cmd: 'pubrel', payload: new Uint8Array(0), messageId: pubrel.messageId }
    this.#bytes += costOf(left)
    this.#packets.set(counter, left)
  }
}

export function costOf(packet: StoredPacket): number {
  return (packet.payload?.length ?? 0) + (packet.topic?.length ?? 0) + flatBytes
}
