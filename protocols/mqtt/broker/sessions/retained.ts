/** Retained messages by topic: read from memory, kept in the store. */
import { ownBytes } from '../../../../src/envelope/own-bytes.ts'
import type { StoredPacket } from '../driver.ts'
import { FilterTree } from '../filter-tree.ts'
import { Slices } from '../slices.ts'
import type { EntryStore } from './entry-store.ts'
import { costOf } from './outgoing.ts'
import { decodePacket, encodePacket, isExpired, publisherOf, spaces } from './records.ts'
import { Shares } from './shares.ts'

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
  readonly #entryStore: EntryStore
  readonly #byTopic = new Map<string, Entry>()
  readonly #max: { readonly count: number; readonly bytes: number }
  readonly #slices = new Slices()
  readonly #shares: Shares
  readonly #onExpired: () => void
  /** Nothing expires before. */
  #nextExpiry = Number.POSITIVE_INFINITY

  constructor(entryStore: EntryStore, max: { readonly count: number; readonly bytes: number }, onExpired: () => void) {
    this.#entryStore = entryStore
    this.#max = max
    this.#shares = new Shares(max.bytes)
    this.#onExpired = onExpired
  }

  load(): void {
    for (const [, value] of this.#entryStore.all(spaces.retained)) this.#set(decodePacket(value), publisherOf(value))
  }

  /** An empty payload removes the topic's message [MQTT-3.3.1-10]. False where there was no room. */
  store(packet: StoredPacket, username?: string): boolean {
    const before = this.#byTopic.get(packet.topic)
    if (before !== undefined) this.#forget(before)
    const isKept = packet.payload.length > 0 && (this.#hasRoom(packet, username) || this.#makesRoom(packet, username))
    if (isKept) {
      this.#set({ ...packet, payload: ownBytes(packet.payload) }, username)
      this.#entryStore.put(spaces.retained, packet.topic, encodePacket(packet, username))
    } else if (before !== undefined) {
      this.#entryStore.delete(spaces.retained, packet.topic) // nobody is told an old value for the latest
    }
    return isKept || packet.payload.length === 0
  }

  #hasRoom(packet: StoredPacket, username: string | undefined): boolean {
    return this.#byTopic.size < this.#max.count && this.#shares.hasRoom(username, costOf(packet))
  }

  /** Takes out what has expired. */
  #makesRoom(packet: StoredPacket, username: string | undefined): boolean {
    const nowMs = Date.now()
    if (nowMs < this.#nextExpiry) return false
    this.#nextExpiry = Number.POSITIVE_INFINITY
    for (const entry of this.#byTopic.values()) {
      if (isExpired(entry.packet, nowMs)) this.#remove(entry)
      else this.#nextExpiry = Math.min(this.#nextExpiry, entry.packet.messageExpiry ?? Number.POSITIVE_INFINITY)
    }
    return this.#hasRoom(packet, username)
  }

  /** Each message once that one of the filters matches; all are looked at, in slices, where a filter has a wildcard. */
  async *matching(filters: readonly string[], search: Search): AsyncGenerator<StoredPacket> {
    try {
      yield* filters.some(hasWildcard) ? this.#search(filters, search) : this.#named(filters, search)
    } finally {
      search.ended()
    }
  }

  *#named(filters: readonly string[], { upTo }: Search): Generator<StoredPacket> {
    for (const filter of new Set(filters)) {
      const entry = this.#byTopic.get(filter)
      if (entry !== undefined && this.#isDue(entry, upTo)) yield entry.packet
    }
  }

  /** False for one that the subscriber gets anyway, or nobody any more. */
  #isDue(entry: Entry, upTo: number): boolean {
    if ((entry.packet.brokerCounter ?? 0) > upTo) return false
    const isOver = isExpired(entry.packet, Date.now())
    if (isOver) this.#remove(entry)
    return !isOver
  }

  async *#search(filters: readonly string[], { isOver, upTo }: Search): AsyncGenerator<StoredPacket> {
    const tree = new FilterTree(filters)
    await this.#slices.next()
    let looked = 0
    for (const entry of this.#byTopic.values()) {
      looked += 1
      if (looked % 16 === 0 && this.#slices.isOver) await this.#slices.next()
      if (isOver()) return
      if (tree.matches(entry.packet.topic) && this.#isDue(entry, upTo)) yield entry.packet
    }
  }

  #set(packet: StoredPacket, username: string | undefined): void {
    this.#shares.take(username, costOf(packet))
    this.#nextExpiry = Math.min(this.#nextExpiry, packet.messageExpiry ?? Number.POSITIVE_INFINITY)
    this.#byTopic.set(packet.topic, { packet, username })
  }

  #forget({ packet, username }: Entry): void {
    this.#shares.take(username, -costOf(packet))
    this.#byTopic.delete(packet.topic)
  }

  #remove(entry: Entry): void {
    this.#forget(entry)
    this.#entryStore.delete(spaces.retained, entry.packet.topic)
    this.#onExpired()
  }
}

interface Entry {
  readonly packet: StoredPacket
  readonly username: string | undefined
}

function hasWildcard(filter: string): boolean {
  return filter.includes('+') || filter.includes('#')
}
