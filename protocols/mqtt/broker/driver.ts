/** The parts of aedes that its own types leave out, named here so that an update shows at one place what it moved. */
import type { EventEmitter } from 'node:events'
import type { Aedes, AedesPublishPacket, Client, PublishPacket, Subscription } from 'aedes'

export type { Aedes, AedesPublishPacket, Client, PublishPacket, Subscription }

/** A packet as aedes stores it: `brokerCounter` is unique in one broker. */
export interface StoredPacket {
  cmd: 'publish' | 'pubrel'
  topic: string
  payload: Uint8Array
  qos: 0 | 1 | 2
  retain: boolean
  dup: boolean
  brokerId?: string
  brokerCounter?: number
  messageId?: number | undefined
  /** Milliseconds since the epoch, when its time to live is over; aedes carries it along. */
  messageExpiry?: number
}

/** What a device sent, as far as we look at it. */
export interface IncomingPacket {
  readonly cmd: string
  readonly messageId?: number
  readonly qos?: number
  readonly dup?: boolean
  readonly username?: string
  readonly password?: Uint8Array
  readonly will?: { readonly qos: number }
  readonly subscriptions?: readonly unknown[]
  readonly unsubscriptions?: readonly unknown[]
}

/** The parser of a connection, with aedes as its only listener. */
export function parserOf(client: Client): EventEmitter {
  return (client as unknown as { readonly _parser: EventEmitter })._parser
}

/** The emitter behind aedes: mqemitter's interface. */
export interface Emitter {
  on(topic: string, listener: Listener, done?: () => void): unknown
  removeListener(topic: string, listener: Listener, done?: () => void): unknown
  emit(packet: StoredPacket, done?: (error?: Error) => void): unknown
  close(done: () => void): unknown
}
/** What the emitter finds listeners with. */
export function matcherOf(emitter: Emitter): { match(topic: string): readonly unknown[] } {
  return (emitter as unknown as { readonly _matcher: { match(topic: string): readonly unknown[] } })._matcher
}
export type Listener = (packet: StoredPacket, done: () => void) => void

export interface PersistedSubscription {
  topic: string
  qos: number
}
export interface SessionOwner {
  readonly id: string
  readonly clean?: boolean
  readonly closed?: boolean
  /** aedes's next packet id for this client; of a connected one only. */
  _nextId?: number
}

/** What aedes 1.2 asks of its persistence, in promises, and the few things more that the tests of `aedes-persistence` ask. */
export interface Persistence {
  setup(broker: unknown): Promise<void>
  storeRetained(packet: StoredPacket): Promise<void>
  createRetainedStream(filter: string): NodeJS.ReadableStream
  createRetainedStreamCombi(filters: readonly string[]): NodeJS.ReadableStream
  addSubscriptions(client: SessionOwner, subscriptions: readonly PersistedSubscription[]): Promise<void>
  removeSubscriptions(client: SessionOwner, filters: readonly string[]): Promise<void>
  subscriptionsByClient(client: SessionOwner): Promise<PersistedSubscription[]>
  subscriptionsByTopic(topic: string): Promise<{ clientId: string; topic: string; qos: number }[]>
  countOffline(): Promise<{ subsCount: number; clientsCount: number }>
  getClientList(filter: string): NodeJS.ReadableStream
  cleanSubscriptions(client: SessionOwner): Promise<void>
  outgoingEnqueue(subscription: { clientId: string }, packet: StoredPacket): Promise<void>
  outgoingEnqueueCombi(subscriptions: readonly { clientId: string }[], packet: StoredPacket): Promise<void>
  outgoingUpdate(client: SessionOwner, packet: StoredPacket): Promise<void>
  outgoingClearMessageId(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<unknown>
  outgoingStream(client: SessionOwner): NodeJS.ReadableStream
  incomingStorePacket(client: SessionOwner, packet: StoredPacket): Promise<void>
  incomingGetPacket(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<unknown>
  incomingDelPacket(client: SessionOwner, packet: { messageId?: number | undefined }): Promise<void>
  cleanIncoming(client: SessionOwner): Promise<void>
  putWill(client: SessionOwner, packet: unknown): Promise<void>
  getWill(client: SessionOwner): Promise<unknown>
  delWill(client: SessionOwner): Promise<unknown>
  streamWill(brokers?: Readonly<Record<string, unknown>>): NodeJS.ReadableStream
  destroy(): Promise<void>
}

/** aedes with what is exchanged in it before `listen`, and after it. */
export interface OpenAedes extends Omit<Aedes, 'publish'> {
  publish: Publish
  mq: Emitter
  persistence: Persistence
  /** By client id. */
  readonly clients: Readonly<Record<string, Client>>
  unregisterClient(client: Client): void
}

/** With two arguments the second is the callback: nobody's publication. */
export interface Publish {
  (packet: PublishPacket, done: (error?: Error | null) => void): void
  (packet: PublishPacket, client: Client | null, done?: (error?: Error | null) => void): void
}
