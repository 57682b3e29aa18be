/** The messages that wait for all devices with a kept session, within bounds. */
import type { SessionOwner, StoredPacket } from './driver.ts'
import { OutgoingQueue } from './outgoing.ts'
import { decodePacket, parseNumberedKey, spaces } from './records.ts'
import type { Shelf } from './shelf.ts'

export interface QueueBounds {
  readonly perSession: number
  readonly bytesPerSession: number
  readonly bytes: number
}

export class Queues {
  readonly #shelf: Shelf
  readonly #bounds: QueueBounds
  readonly #byClient = new Map<string, OutgoingQueue>()
  #bytes = 0

  constructor(shelf: Shelf, bounds: QueueBounds) {
    this.#shelf = shelf
    this.#bounds = bounds
  }

  /** Reads back what waits for clients with a session, and removes the rest; the highest counter there is. */
  load(brokerId: string, hasSession: (clientId: string) => boolean): number {
    const sent = new Map(this.#shelf.all(spaces.sent))
    const entries = [...this.#shelf.all(spaces.queued)].map(([key, value]) => ({
      key,
      value,
      ...parseNumberedKey(key),
    }))
    entries.sort((a, b) => a.number - b.number)
    for (const { key, value, number: brokerCounter, text: clientId } of entries) {
      if (!hasSession(clientId)) {
        this.#shelf.delete(spaces.queued, key)
        continue
      }
      const packet = { ...decodePacket(value), brokerId, brokerCounter }
      this.#openFor(clientId).restore(packet, sent.get(key))
      sent.delete(key)
    }
    for (const key of sent.keys()) this.#shelf.delete(spaces.sent, key)
    for (const queue of this.#byClient.values()) this.#bytes += queue.bytes
    return entries.at(-1)?.number ?? 0
  }

  /** False where there was no room. */
  add(clientId: string, packet: StoredPacket): boolean {
    const queue = this.#byClient.get(clientId)
    const isFull =
      (queue?.size ?? 0) >= this.#bounds.perSession ||
      (queue?.bytes ?? 0) >= this.#bounds.bytesPerSession ||
      this.#bytes >= this.#bounds.bytes
    if (isFull) return false
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
    this.#bytes += queue.bytes - before
    if (queue.size === 0) this.#byClient.delete(clientId)
    return result
  }

  /** All that waits for a device that is back. */
  async *replay(client: SessionOwner): AsyncGenerator<StoredPacket> {
    const queue = this.#byClient.get(client.id)
    if (queue === undefined) return
    if (client._nextId !== undefined) {
      queue.identify(() => takeNextId(client))
      await this.#shelf.flushed()
    }
    yield* queue.replay()
  }

  #openFor(clientId: string): OutgoingQueue {
    const queue = this.#byClient.get(clientId) ?? new OutgoingQueue(clientId, this.#shelf)
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
