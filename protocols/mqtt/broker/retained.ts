/** Retained messages by topic: read from memory, kept on the shelf. */
import { ownBytes } from '../../../src/envelope/own-bytes.ts'
import type { StoredPacket } from './driver.ts'
import { FilterTree } from './filter-tree.ts'
import { costOf } from './outgoing.ts'
import { decodePacket, encodePacket, spaces } from './records.ts'
import type { Shelf } from './shelf.ts'
import { Slices } from './slices.ts'

/** What is asked for the retained messages, and told of it. */
export interface Search {
  /** The broker's counter at its beginning: what is published later reaches the subscriber by itself. */
  readonly upTo: number
  /** True when nobody waits for the rest. */
  isOver(): boolean
  /** Called once, at the end. */
  ended(): void
}

export class RetainedMessages {
  readonly #shelf: Shelf
  readonly #byTopic = new Map<string, StoredPacket>()
  readonly #max: { readonly count: number; readonly bytes: number }
  readonly #slices = new Slices()
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

  /** Each message once that one of the filters matches; all are looked at, in slices, where a filter has a wildcard. */
  async *matching(filters: readonly string[], search: Search): AsyncGenerator<StoredPacket> {
    try {
      yield* filters.some(hasWildcard) ? this.#search(filters, search) : this.#named(filters)
    } finally {
      search.ended()
    }
  }

  *#named(filters: readonly string[]): Generator<StoredPacket> {
    for (const filter of new Set(filters)) {
      const packet = this.#byTopic.get(filter)
      if (packet !== undefined) yield packet
    }
  }

  async *#search(filters: readonly string[], { isOver, upTo }: Search): AsyncGenerator<StoredPacket> {
    const tree = new FilterTree(filters)
    const isLive = (packet: StoredPacket) => (packet.brokerCounter ?? 0) > upTo
    await this.#slices.next()
    let looked = 0
    for (const packet of this.#byTopic.values()) {
      looked += 1
      if (looked % 16 === 0 && this.#slices.isOver) await this.#slices.next()
      if (isOver()) return
      if (!isLive(packet) && tree.matches(packet.topic)) yield packet
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

function hasWildcard(filter: string): boolean {
  return filter.includes('+') || filter.includes('#')
}
