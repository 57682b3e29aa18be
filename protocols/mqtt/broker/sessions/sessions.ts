/**
 * What the broker keeps for its devices: sessions and subscriptions, waiting messages, open QoS 2 handshakes, wills and
 * retained messages. Read from memory, within bounds, behind the one interface aedes asks for; written through to the
 * gateway's store where there is one, and read from there at the start. A clean session costs the disk nothing but its will.
 *
 * What aedes stores on the way of a publication is safe when `flushed` resolves, not when aedes is called back: it counts
 * publications as they begin, and drops one that a later one has overtaken. The broker waits before it acknowledges.
 */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Kept, KeptEntry } from '../../../../src/adapter/contract.ts'
import { RetryableError } from '../../../../src/errors.ts'
import type { Device } from '../device.ts'
import type { PersistedSubscription, Persistence, SessionOwner, StoredPacket } from '../driver.ts'
import { compileFilter, filterCost } from '../filter.ts'
import { EntryStore } from './entry-store.ts'
import { Handshakes } from './handshakes.ts'
import { Queues } from './queues.ts'
import { decodeRecord, encodeRecord, pairKey, parsePairKey, spaces } from './records.ts'
import { RetainedMessages } from './retained.ts'
import { Shares } from './shares.ts'
import { type LostWill, type Will, Wills } from './wills.ts'

/** Bounds of what devices can make the broker keep. */
export const sessionBounds = {
  queued: { perSession: 10_000, bytesPerSession: 4 * 1024 ** 2, bytes: 128 * 1024 ** 2 },
  retained: { count: 100_000, bytes: 64 * 1024 ** 2 },
  /** Of connected devices; the same again of kept sessions. */
  subscriptions: 128 * 1024 ** 2,
  /** Of connected devices. */
  wills: 64 * 1024 ** 2,
  /** QoS 2 messages of one device whose PUBREL is awaited. */
  handshakes: 1_000,
  handshakeBytes: 4 * 1024 ** 2,
}

export interface SessionRules {
  /** True for a filter that was granted; aedes hands all filters of a SUBSCRIBE over once one of them is. */
  mayKeep(clientId: string, filter: string): boolean
  /** The user of a connected device. */
  usernameOf(clientId: string): string | undefined
  onEnd(clientId: string): void
  onDropped(what: 'queued' | 'retained'): void
  onExpired(what: 'queued' | 'retained', count: number): void
  /** True where somebody connected subscribes to the topic. */
  hasListener(topic: string): boolean
}

/** A session that outlives its connections. */
interface Session {
  /** Tells it from an earlier session of the same client id. */
  readonly mark: string
  readonly username?: string | undefined
  /** Milliseconds since the epoch. */
  readonly beganAt: number
}

interface Broker {
  readonly id: string
  counter: number
}

/** `memory` is aedes's own: it matches topics with subscriptions. */
export class Sessions implements Persistence {
  readonly #memory: Persistence
  readonly #rules: SessionRules
  readonly #entryStore: EntryStore
  readonly #sessions = new Map<string, Session>()
  readonly #queues: Queues
  readonly #handshakes: Handshakes
  readonly #retained: RetainedMessages
  readonly #wills: Wills
  readonly #filters = new Shares(sessionBounds.subscriptions)
  readonly #resent = new WeakSet<object>()
  /** SUBSCRIBEs under way by client id: aedes hands all filters of one over again for each that is granted. */
  readonly #adding = new Map<string, { readonly subscriptions: object; readonly done: Promise<void> }>()
  #searching: Device | undefined
  #publisher: string | undefined
  /** Counters of messages of the gateway itself, which hears of it where nobody gets them. */
  readonly #own = new Set<number>()
  #broker: Broker = { id: '', counter: 0 }

  constructor(memory: Persistence, rules: SessionRules, kept?: Kept) {
    this.#memory = memory
    this.#rules = rules
    this.#entryStore = new EntryStore(kept)
    this.#handshakes = new Handshakes(this.#entryStore, sessionBounds.handshakeBytes)
    this.#queues = new Queues(this.#entryStore, sessionBounds.queued, {
      usernameOf: (clientId) => this.#sessions.get(clientId)?.username,
      onExpired: (count) => rules.onExpired('queued', count),
    })
    this.#retained = new RetainedMessages(this.#entryStore, sessionBounds.retained, () =>
      rules.onExpired('retained', 1),
    )
    this.#wills = new Wills(this.#entryStore)
  }

  get broker(): unknown {
    return this.#broker
  }

  /** Reads everything back. The counter of `broker` goes on above those of waiting messages: it is their order. */
  async setup(broker: unknown): Promise<void> {
    await this.#memory.setup(broker)
    this.#broker = broker as Broker
    await this.#entryStore.settle()
    this.#loadSessions()
    await this.#loadSubscriptions()
    const counter = this.#queues.load(this.#broker.id, (clientId) => this.#sessions.has(clientId))
    this.#broker.counter = Math.max(this.#broker.counter, counter)
    this.#handshakes.load((clientId) => this.#sessions.get(clientId)?.mark)
    this.#retained.load()
    this.#wills.load()
    await this.#entryStore.flushed()
  }

  /** Kept sessions, the oldest first, with their users. */
  *kept(): Generator<{ readonly clientId: string; readonly username: string | undefined }> {
    const byAge = [...this.#sessions].sort(([, a], [, b]) => a.beganAt - b.beganAt)
    for (const [clientId, { username }] of byAge) yield { clientId, username }
  }

  /** Begins the kept session of a device, where there is none. */
  begin(clientId: string, username: string | undefined): Session {
    const known = this.#sessions.get(clientId)
    if (known !== undefined) return known
    const session: Session = { mark: randomUUID(), username, beganAt: Date.now() }
    this.#sessions.set(clientId, session)
    this.#entryStore.put(spaces.session, clientId, encodeRecord(session))
    return session
  }

  /** Takes filters away that are no longer granted, and what waits for them. */
  async restrict(clientId: string, isGranted: (filter: string) => boolean): Promise<void> {
    const subscriptions = await this.#memory.subscriptionsByClient({ id: clientId })
    const [granted, refused] = [true, false].map((is) => subscriptions.filter(({ topic }) => isGranted(topic) === is))
    if (granted === undefined || refused === undefined || refused.length === 0) return
    const filters = refused.map(({ topic }) => topic)
    await this.removeSubscriptions({ id: clientId }, filters)
    const matchers = granted.map(({ topic }) => compileFilter(topic))
    this.#queues.change(clientId, (queue) => queue.retainOnly((topic) => matchers.some((matches) => matches(topic))))
  }

  /** Ends a kept session whose device is away. */
  async end(clientId: string): Promise<void> {
    await this.cleanSubscriptions({ id: clientId })
    await this.cleanIncoming({ id: clientId })
  }

  /** Wills of devices that were connected when an earlier broker ended. */
  get lostWills(): readonly LostWill[] {
    return this.#wills.lost
  }

  /** True where a kept session of this user's may have one more filter. */
  hasRoomToKeep(username: string | undefined, filter: string): boolean {
    return this.#filters.hasRoom(username, filterCost(filter))
  }

  get hasRoomForWill(): boolean {
    return this.#wills.bytes < sessionBounds.wills
  }

  /** A lost will was published. */
  forgetWill(will: LostWill): void {
    this.#wills.forget(will.key)
  }

  /** True where a publication has to be on disk before it is acknowledged. */
  mustKeep({ retain, topic }: { readonly retain?: boolean; readonly topic: string }): boolean {
    return this.#entryStore.isDurable && (retain === true || (this.#sessions.size > 0 && !topic.startsWith('$')))
  }

  /** Resolves when all that was stored so far is on disk. */
  flushed(): Promise<void> {
    return this.#entryStore.flushed()
  }

  /** True where this packet of a device that is back was sent before: it is marked as a duplicate [MQTT-3.3.1-1]. */
  isResent(packet: object): boolean {
    return this.#resent.has(packet)
  }

  /** True while a QoS 2 message with this id was taken and its PUBREL is awaited. */
  hasIncoming(clientId: string, messageId: number): boolean {
    return this.#handshakes.get(clientId, messageId) !== undefined
  }

  hasRoomForIncoming(clientId: string, unsettled: number): boolean {
    return this.#handshakes.countOf(clientId) + unsettled < sessionBounds.handshakes
  }

  /** What is to be committed together with a QoS 2 message, so that its redelivery is known after a crash. */
  noteOfIncoming(clientId: string, messageId: number): KeptEntry | undefined {
    const session = this.#entryStore.isDurable ? this.#sessions.get(clientId) : undefined
    return session && this.#handshakes.noteFor(clientId, messageId, session.mark)
  }

  /** The broker closes: its devices' wills are for the next one to publish. */
  freezeWills(): void {
    this.#wills.freeze()
  }

  /** Resolves when all is on disk; nothing changes there any more. */
  async close(): Promise<void> {
    await this.#entryStore.flushed()
    this.#entryStore.close()
  }

  async storeRetained(packet: StoredPacket): Promise<void> {
    if (!this.#retained.store(packet, this.#publisher)) this.#rules.onDropped('retained')
  }

  /** Calls `publish`, in which aedes begins with one message, of this user's. */
  publishing(username: string | undefined, publish: () => void): void {
    this.#publisher = username
    publish()
    this.#publisher = undefined
  }

  /** The same for one of the gateway's own; it fails with TARGET_BUSY where nobody has room for it. */
  publishingOwn(publish: (done: () => void) => void): void {
    let counter = 0
    publish(() => this.#own.delete(counter))
    counter = this.#broker.counter
    this.#own.add(counter)
  }

  /** For whom aedes asks in this turn: it does not say so. */
  searchesFor(device: Device | undefined): void {
    this.#searching = device
  }

  createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter])
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    const device = this.#searching
    const ended = device?.turnstile?.searches() ?? (() => {})
    const isOver = () => device?.isClosed ?? false
    const upTo = device === undefined ? Number.POSITIVE_INFINITY : this.#broker.counter
    return Readable.from(this.#retained.matching(filters, { upTo, isOver, ended }))
  }

  async addSubscriptions(client: SessionOwner, subscriptions: readonly PersistedSubscription[]): Promise<void> {
    const known = this.#adding.get(client.id)
    if (known?.subscriptions === subscriptions) return await known.done
    const adding = { subscriptions, done: this.#addSubscriptions(client, subscriptions) }
    this.#adding.set(client.id, adding)
    await adding.done.finally(() => {
      if (this.#adding.get(client.id) === adding) this.#adding.delete(client.id)
    })
  }

  async #addSubscriptions(client: SessionOwner, subscriptions: readonly PersistedSubscription[]): Promise<void> {
    await undefined // when the first filter is granted the others have not been looked at
    const granted = subscriptions.filter((one) => this.#rules.mayKeep(client.id, one.topic))
    this.begin(client.id, this.#rules.usernameOf(client.id))
    const before = new Map((await this.#memory.subscriptionsByClient(client)).map(({ topic, qos }) => [topic, qos]))
    const added = granted.filter(({ topic, qos }) => before.get(topic) !== qos)
    for (const one of added) this.#entryStore.put(spaces.subscription, pairKey(client.id, one.topic), encodeRecord(one))
    this.#charge(
      client.id,
      added.map(({ topic }) => topic).filter((topic) => !before.has(topic)),
    )
    if (added.length > 0) await this.#memory.addSubscriptions(client, added)
    await this.#entryStore.flushed()
  }

  async removeSubscriptions(client: SessionOwner, filters: readonly string[]): Promise<void> {
    const kept = new Set((await this.#memory.subscriptionsByClient(client)).map(({ topic }) => topic))
    const removed = filters.filter((filter) => kept.has(filter))
    for (const filter of removed) this.#entryStore.delete(spaces.subscription, pairKey(client.id, filter))
    this.#charge(client.id, removed, -1)
    if (removed.length > 0) await this.#memory.removeSubscriptions(client, removed)
    await this.#entryStore.flushed()
  }

  async subscriptionsByClient(client: SessionOwner): Promise<PersistedSubscription[]> {
    return await this.#memory.subscriptionsByClient(client)
  }

  async subscriptionsByTopic(topic: string): Promise<{ clientId: string; topic: string; qos: number }[]> {
    return await this.#memory.subscriptionsByTopic(topic)
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return await this.#memory.countOffline()
  }

  getClientList(filter: string): NodeJS.ReadableStream {
    return this.#memory.getClientList(filter)
  }

  /** aedes calls it for a device that asks for a clean session: the kept one ends here. [MQTT-3.1.2-6] */
  async cleanSubscriptions(client: SessionOwner): Promise<void> {
    if (!this.#sessions.has(client.id)) return
    const subscriptions = await this.#memory.subscriptionsByClient(client)
    for (const { topic } of subscriptions) this.#entryStore.delete(spaces.subscription, pairKey(client.id, topic))
    this.#charge(
      client.id,
      subscriptions.map(({ topic }) => topic),
      -1,
    )
    await this.#memory.cleanSubscriptions(client)
    this.#queues.change(client.id, (queue) => queue.retainOnly(() => false))
    this.#handshakes.endAll(client.id, true)
    this.#sessions.delete(client.id)
    this.#entryStore.delete(spaces.session, client.id)
    await this.#entryStore.flushed()
  }

  async outgoingEnqueue(subscription: { clientId: string }, packet: StoredPacket): Promise<void> {
    await this.outgoingEnqueueCombi([subscription], packet)
  }

  async outgoingEnqueueCombi(subscriptions: readonly { clientId: string }[], packet: StoredPacket): Promise<void> {
    let kept = 0
    for (const { clientId } of subscriptions) {
      if (this.#queues.add(clientId, packet)) kept += 1
      else this.#rules.onDropped('queued')
    }
    if (kept > 0 || subscriptions.length === 0 || !this.#own.has(packet.brokerCounter ?? 0)) return
    if (this.#rules.hasListener(packet.topic)) return
    throw new RetryableError('TARGET_BUSY', 'no session that subscribes to it has room: their devices are away')
  }

  async outgoingUpdate(client: SessionOwner, packet: StoredPacket): Promise<void> {
    const wasSent = this.#queues.change(client.id, (queue) => queue.update(packet))
    if (wasSent) this.#resent.add(packet)
    // after a crash a QoS 2 message must come with the packet id it came with before, or as the PUBREL it has become
    if (packet.cmd === 'pubrel' || packet.qos === 2) await this.#entryStore.flushed()
  }

  async outgoingClearMessageId(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<unknown> {
    return this.#queues.change(client.id, (queue) => queue.remove(packet.messageId))
  }

  outgoingStream(client: SessionOwner): Readable {
    return Readable.from(this.#queues.replay(client))
  }

  async incomingStorePacket(client: SessionOwner, packet: StoredPacket): Promise<void> {
    if (client.clean && client.closed) return // its session is over: nobody would remove the entry
    const isNew = !this.hasIncoming(client.id, packet.messageId ?? 0)
    if (isNew && !this.hasRoomForIncoming(client.id, 0)) throw new Error('too many QoS 2 messages await their PUBREL')
    const session = client.clean ? undefined : this.#sessions.get(client.id)
    this.#handshakes.publish(client.id, packet, session?.mark)
  }

  async incomingGetPacket(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<StoredPacket> {
    const known = this.#handshakes.get(client.id, packet.messageId ?? 0)
    if (!known?.isPublished) throw new Error('no such packet')
    return known.packet
  }

  async incomingDelPacket(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<void> {
    this.#handshakes.end(client.id, packet.messageId ?? 0, this.#sessions.has(client.id))
    await this.#entryStore.flushed() // after PUBCOMP the device gives the id to another message
  }

  async cleanIncoming(client: SessionOwner): Promise<void> {
    this.#handshakes.endAll(client.id, this.#sessions.has(client.id))
    this.#rules.onEnd(client.id)
  }

  async putWill(client: SessionOwner, will: unknown): Promise<void> {
    this.#wills.put(this.#broker.id, client.id, will as Will, this.#rules.usernameOf(client.id))
    await this.#entryStore.flushed()
  }

  async getWill(client: SessionOwner): Promise<unknown> {
    return this.#wills.get(client.id)
  }

  async delWill(client: SessionOwner): Promise<unknown> {
    return this.#wills.delete(client.id)
  }

  streamWill(brokers: Readonly<Record<string, unknown>> = {}): Readable {
    return Readable.from(this.#wills.of(brokers))
  }

  async destroy(): Promise<void> {
    await this.close()
    await this.#memory.destroy()
  }

  #loadSessions(): void {
    for (const [clientId, value] of this.#entryStore.all(spaces.session)) {
      this.#sessions.set(clientId, decodeRecord<Session>(value).fields)
    }
  }

  async #loadSubscriptions(): Promise<void> {
    for (const [key, value] of [...this.#entryStore.all(spaces.subscription)]) {
      const { first: clientId } = parsePairKey(key)
      if (!this.#sessions.has(clientId)) this.#entryStore.delete(spaces.subscription, key)
      else {
        const { fields } = decodeRecord<PersistedSubscription>(value)
        this.#charge(clientId, [fields.topic])
        await this.#memory.addSubscriptions({ id: clientId }, [fields])
      }
    }
  }

  #charge(clientId: string, filters: readonly string[], sign: 1 | -1 = 1): void {
    const bytes = filters.reduce((sum, filter) => sum + filterCost(filter), 0)
    this.#filters.take(this.#sessions.get(clientId)?.username, sign * bytes)
  }
}
