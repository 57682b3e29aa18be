/** Retained messages by topic: read from memory, kept on the shelf. */
import { ownBytes } from '../../../src/envelope/own-bytes.ts'
import type { StoredPacket } from './driver.ts'
import { compileFilter } from './filter.ts'
import { costOf } from './outgoing.ts'
import { decodePacket, encodePacket, spaces } from './records.ts'
import type { Shelf } from './shelf.ts'

export class RetainedMessages {
  readonly #shelf: Shelf
  readonly #byTopic = new Map<string, StoredPacket>()
  readonly #max: { readonly count: number; readonly bytes: number }
  #bytes = 0

  constructor(shelf: Shelf, max: { readonly count: number; readonly bytes: number }) {
    this.#shelf = shelf
    this.#max = max
  }

  load(): void {
    for (const [topic, value] of this.#shelf.all(spaces.retained)) this.#set(topic, decodePacket(value))
  }

  /** An empty payload removes the topic's message [MQTT-3.3.1-10]. False where there was no room. */
  store(packet: StoredPacket): boolean {
    const before = this.#byTopic.get(packet.topic)
    if (packet.payload.length === 0) {
      if (before !== undefined) this.#remove(before)
      return true
    }
    const growth = costOf(packet) - (before === undefined ? 0 : costOf(before))
    const isNew = before === undefined && this.#byTopic.size >= this.#max.count
    if (isNew || this.#bytes + growth > this.#max.bytes) return false
    this.#set(packet.topic, { ...packet, payload: ownBytes(packet.payload) })
    this.#shelf.put(spaces.retained, packet.topic, encodePacket(packet))
    return true
  }

  *matching(filters: readonly string[]): Generator<StoredPacket> {
    for (const filter of filters) {
      const exact = this.#byTopic.get(filter)
      if (exact !== undefined) yield exact
      if (!/[+#]/.test(filter)) continue
      const matches = compileFilter(filter)
      for (const packet of this.#byTopic.values()) if (matches(packet.topic)) yield packet
    }
  }

  #set(topic: string, packet: StoredPacket): void {
    const before = this.#byTopic.get(topic)
    this.#bytes += costOf(packet) - (before === undefined ? 0 : costOf(before))
    this.#byTopic.set(topic, packet)
  }

  #remove(packet: StoredPacket): void {
    this.#bytes -= costOf(packet)
    this.#byTopic.delete(packet.topic)
    this.#shelf.delete(spaces.retained, packet.topic)
  }
}
