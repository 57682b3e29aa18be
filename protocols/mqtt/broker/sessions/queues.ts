/** The messages that wait for all devices with a kept session, within bounds. */
import type { SessionOwner, StoredPacket } from '../driver.ts'
import type { EntryStore } from './entry-store.ts'
import { costOf, OutgoingQueue } from './outgoing.ts'
import { decodePacket, isExpired, parseNumberedKey, spaces } from './records.ts'
import { Shares } from './shares.ts'

export interface QueueBounds {
  readonly perSession: number
  readonly bytesPerSession: number
  readonly bytes: number
}

export interface QueueRules {
  /** The user whose session it is. */
  usernameOf(clientId: string): string | undefined
  onExpired(count: number): void
}

export class Queues {
  readonly #entryStore: EntryStore
  readonly #bounds: QueueBounds
  readonly #byClient = new Map<string, OutgoingQueue>()
  readonly #rules: QueueRules
  readonly #shares: Shares

  constructor(entryStore: EntryStore, bounds: QueueBounds, rules: QueueRules) {
    this.#entryStore = entryStore
    this.#bounds = bounds
    this.#rules = rules
    this.#shares = new Shares(bounds.bytes)
  }

  /** Reads back what waits for clients with a session, and removes the rest; the highest counter there is. */
  load(brokerId: string, hasSession: (clientId: string) => boolean): number {
    const sent = new Map(this.#entryStore.all(spaces.sent))
    const entries = [...this.#entryStore.all(spaces.queued)].map(([key, value]) => ({
      key,
      value,
      ...parseNumberedKey(key),
    }))
    entries.sort((a, b) => a.number - b.number)
    for (const { key, value, number: brokerCounter, text: clientId } of entries) {
      if (!hasSession(clientId)) {
        this.#entryStore.delete(spaces.queued, key)
        continue
      }
      const packet = { ...decodePacket(value), brokerId, brokerCounter }
      this.#openFor(clientId).restore(packet, sent.get(key))
      sent.delete(key)
    }
    for (const key of sent.keys()) this.#entryStore.delete(spaces.sent, key)
    for (const [clientId, queue] of this.#byClient) this.#shares.take(this.#rules.usernameOf(clientId), queue.bytes)
    return entries.at(-1)?.number ?? 0
  }

  /** False where there was no room. */
  add(clientId: string, packet: StoredPacket): boolean {
    if (!this.#hasRoom(clientId, packet) && (this.#expire(clientId) === 0 || !this.#hasRoom(clientId, packet))) {
      return false
    }
    this.#openFor(clientId)
    this.change(clientId, (open) => open.add(packet))
    return true
  }

  /** What `change` makes of the queue of a client; undefined where nothing waits for it. */
  change<T>(clientId: string, change: (queue: OutgoingQueue) => T): T | undefined {
    const queue = this.#byClient.get(clientId)
    if (queue === undefined) return undefined
    const before = queue.bytes
    const result = change(queue)
    this.#shares.take(this.#rules.usernameOf(clientId), queue.bytes - before)
    if (queue.size === 0) this.#byClient.delete(clientId)
    return result
  }

  /** All that waits for a device that is back. */
  async *replay(client: SessionOwner): AsyncGenerator<StoredPacket> {
    this.#expire(client.id)
    const queue = this.#byClient.get(client.id)
    if (queue === undefined) return
    if (client._nextId !== undefined) {
      queue.identify(() => takeNextId(client))
      await this.#entryStore.flushed()
    }
    for (const packet of queue.replay()) {
      // a device may take its time
      if (isExpired(packet, Date.now())) this.#expire(client.id)
      if (packet.cmd === 'pubrel' || queue.has(packet)) yield packet
    }
  }

  #hasRoom(clientId: string, packet: StoredPacket): boolean {
    const { perSession, bytesPerSession } = this.#bounds
    const queue = this.#byClient.get(clientId)
    if (queue !== undefined && (queue.size >= perSession || queue.bytes >= bytesPerSession)) return false
    return this.#shares.hasRoom(this.#rules.usernameOf(clientId), costOf(packet))
  }

  #expire(clientId: string): number {
    const expired = this.change(clientId, (queue) => queue.expire(Date.now())) ?? 0
    if (expired > 0) this.#rules.onExpired(expired)
    return expired
  }

  #openFor(clientId: string): OutgoingQueue {
    const queue = this.#byClient.get(clientId) ?? new OutgoingQueue(clientId, this.#entryStore)
    this.#byClient.set(clientId, queue)
    return queue
  }
}

/** aedes's own way of counting packet ids, 1 to 65,535. */
function takeNextId(client: SessionOwner): number {
  const id = client._nextId ?? 1
  client._nextId = id >= 65_535 ? 1 : id + 1
  return id
}
