/**
 * What the broker keeps for its devices: subscriptions, waiting messages, retained messages, open QoS 2 handshakes. All of
 * it in memory, within bounds, behind the one interface aedes asks for; only this file changes when it goes to disk.
 */
import { Readable } from 'node:stream'
import type { PersistedSubscription, Persistence, SessionOwner, StoredPacket } from './driver.ts'
import { compileFilter } from './filter.ts'
import { costOf, OutgoingQueue } from './outgoing.ts'

/** Bounds of what devices can make the broker keep. */
export const sessionBounds = {
  queuedPerSession: 10_000,
  queuedBytesPerSession: 4 * 1024 ** 2,
  queuedBytes: 128 * 1024 ** 2,
  retained: 100_000,
  retainedBytes: 64 * 1024 ** 2,
}

export interface SessionRules {
  /** A refused filter is not kept either: aedes stores all filters of a SUBSCRIBE once one of them is granted. */
  mayKeep(clientId: string, filter: string): boolean
  onEnd(clientId: string): void
  onDropped(what: 'queued' | 'retained'): void
}

/** `kept` is aedes's own memory: its subscriptions and wills are used as they are. */
export class Sessions implements Persistence {
  readonly #kept: Persistence
  readonly #rules: SessionRules
  readonly #queues = new Map<string, OutgoingQueue>()
  readonly #incoming = new Map<string, Set<number>>()
  readonly #retained = new Map<string, StoredPacket>()
  #queuedBytes = 0
  #retainedBytes = 0

  constructor(kept: Persistence, rules: SessionRules) {
    this.#kept = kept
    this.#rules = rules
  }

  /** True while a QoS 2 message with this id was taken and its PUBREL is awaited. */
  hasIncoming(clientId: string, messageId: number): boolean {
    return this.#incoming.get(clientId)?.has(messageId) ?? false
  }

  async setup(broker: unknown): Promise<void> {
    await this.#kept.setup(broker)
  }

  async storeRetained(packet: StoredPacket): Promise<void> {
    const before = this.#retained.get(packet.topic)
    if (packet.payload.length === 0) {
      this.#retained.delete(packet.topic)
      this.#retainedBytes -= before === undefined ? 0 : costOf(before)
      return
    }
    const growth = costOf(packet) - (before === undefined ? 0 : costOf(before))
    const isNew = before === undefined && this.#retained.size >= sessionBounds.retained
    if (isNew || this.#retainedBytes + growth > sessionBounds.retainedBytes) {
      this.#rules.onDropped('retained')
      return
    }
    this.#retainedBytes += growth
    this.#retained.set(packet.topic, { ...packet })
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retainedFor(filters))
  }

  *#retainedFor(filters: readonly string[]): Generator<StoredPacket> {
    for (const filter of filters) {
      const exact = this.#retained.get(filter)
      if (exact !== undefined) yield exact
      if (!/[+#]/.test(filter)) continue
      const matches = compileFilter(filter)
      for (const packet of this.#retained.values()) if (matches(packet.topic)) yield packet
    }
  }

  async addSubscriptions(client: SessionOwner, subscriptions: readonly PersistedSubscription[]): Promise<void> {
    const granted = subscriptions.filter((one) => this.#rules.mayKeep(client.id, one.topic))
    await this.#kept.addSubscriptions(client, granted)
  }

  async removeSubscriptions(client: SessionOwner, filters: readonly string[]): Promise<void> {
    await this.#kept.removeSubscriptions(client, filters)
  }

  async subscriptionsByClient(client: SessionOwner): Promise<PersistedSubscription[]> {
    return await this.#kept.subscriptionsByClient(client)
  }

  async subscriptionsByTopic(topic: string): Promise<{ clientId: string; topic: string; qos: number }[]> {
    return await this.#kept.subscriptionsByTopic(topic)
  }

  /** aedes calls it for a device that asks for a clean session: the kept one ends here. [MQTT-3.1.2-6] */
  async cleanSubscriptions(client: SessionOwner): Promise<void> {
    await this.#kept.cleanSubscriptions(client)
    this.#dropQueue(client.id)
  }

  async outgoingEnqueue(subscription: { clientId: string }, packet: StoredPacket): Promise<void> {
    this.#enqueue(subscription.clientId, packet)
  }

  async outgoingEnqueueCombi(subscriptions: readonly { clientId: string }[], packet: StoredPacket): Promise<void> {
    for (const { clientId } of subscriptions) this.#enqueue(clientId, packet)
  }

  async outgoingUpdate(client: SessionOwner, packet: StoredPacket): Promise<void> {
    this.#change(client.id, (queue) => queue.update(packet))
  }

  async outgoingClearMessageId(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<unknown> {
    return this.#change(client.id, (queue) => queue.remove(packet.messageId))
  }

  outgoingStream(client: SessionOwner): Readable {
    return Readable.from(this.#queues.get(client.id)?.replay() ?? [])
  }

  async incomingStorePacket(client: SessionOwner, packet: StoredPacket): Promise<void> {
    if (client.clean && client.closed) return // its session is over: nobody would remove the entry
    const ids = this.#incoming.get(client.id) ?? new Set()
    ids.add(packet.messageId ?? 0)
    this.#incoming.set(client.id, ids)
  }

  async incomingGetPacket(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<unknown> {
    if (!this.hasIncoming(client.id, packet.messageId ?? 0)) throw new Error('no such packet')
    return packet
  }

  async incomingDelPacket(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<void> {
    const ids = this.#incoming.get(client.id)
    ids?.delete(packet.messageId ?? 0)
    if (ids?.size === 0) this.#incoming.delete(client.id)
  }

  async cleanIncoming(client: SessionOwner): Promise<void> {
    this.#incoming.delete(client.id)
    this.#rules.onEnd(client.id)
  }

  async putWill(client: SessionOwner, packet: unknown): Promise<void> {
    await this.#kept.putWill(client, packet)
  }

  async delWill(client: SessionOwner): Promise<unknown> {
    return await this.#kept.delWill(client)
  }

  streamWill(brokers?: unknown): NodeJS.ReadableStream {
    return this.#kept.streamWill(brokers)
  }

  /** Ends a kept session whose device is away. */
  async end(clientId: string): Promise<void> {
    await this.cleanSubscriptions({ id: clientId })
    await this.cleanIncoming({ id: clientId })
  }

  #enqueue(clientId: string, packet: StoredPacket): void {
    const queue = this.#queues.get(clientId) ?? new OutgoingQueue()
    const isFull =
      queue.size >= sessionBounds.queuedPerSession ||
      queue.bytes >= sessionBounds.queuedBytesPerSession ||
      this.#queuedBytes >= sessionBounds.queuedBytes
    if (isFull) {
      this.#rules.onDropped('queued')
      return
    }
    this.#queues.set(clientId, queue)
    this.#change(clientId, () => queue.add(packet))
  }

  #change<T>(clientId: string, change: (queue: OutgoingQueue) => T): T | undefined {
    const queue = this.#queues.get(clientId)
    if (queue === undefined) return undefined
    const before = queue.bytes
    const result = change(queue)
    this.#queuedBytes += queue.bytes - before
    if (queue.size === 0) this.#queues.delete(clientId)
    return result
  }

  #dropQueue(clientId: string): void {
    this.#queuedBytes -= this.#queues.get(clientId)?.bytes ?? 0
    this.#queues.delete(clientId)
  }
}
