/**
 * kafkajs's parts that this adapter stands on, mended where they are known to fail. kafkajs has had no release since
 * February 2023; its inner modules are used and patched by exact version, so another version must be looked at first.
 */
import { createRequire } from 'node:module'
import { PermanentError } from '../../../src/errors.ts'

export const kafkajsVersion = '2.2.4'

const load = createRequire(import.meta.url)
const found = (load('kafkajs/package.json') as { version: string }).version
if (found !== kafkajsVersion) {
  throw new PermanentError('INTERNAL', `the Kafka adapter is made for kafkajs ${kafkajsVersion}, found ${found}`)
}

interface RequestQueue {
  pending: unknown[]
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
  scheduleCheckPendingRequests(): void
}

// https://github.com/tulios/kafkajs/issues/1751: a timer with a negative delay that renews itself every millisecond
const queue = (load('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }).prototype
queue.scheduleCheckPendingRequests = function scheduleOnlyWhenNeeded(this: RequestQueue) {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
  this.throttleCheckTimeoutId = setTimeout(
    () => {
      this.throttleCheckTimeoutId = null
      this.checkPendingRequests()
    },
    Math.max(10, this.throttledUntil - Date.now()),
  )
}

/** A request on the wire: `encode` gives something kafkajs's own Encoder can append. */
export interface WireProtocol<T> {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    readonly apiName: string
    encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>
  }
  readonly response: {
    decode(payload: Buffer): Promise<T>
    parse(decoded: T): Promise<T>
  }
  readonly logResponseError?: boolean
}

export interface DriverConnection {
  rejectRequests(error: Error): void
}

export interface DriverPool {
  readonly pool: readonly DriverConnection[]
  send<T>(protocol: WireProtocol<T>): Promise<T>
  destroy(): Promise<void>
}

interface PartitionOffset {
  readonly partition: number
  readonly offset: string
}
interface PerTopic<T> {
  readonly topic: string
  readonly partitions: readonly T[]
}

/** kafkajs's Broker: one node, its connections, version negotiation and credentials. */
export interface DriverBroker {
  readonly connectionPool: DriverPool
  readonly versions: Readonly<Record<number, { minVersion: number; maxVersion: number }>>
  connect(): Promise<void>
  initProducerId(options: { transactionalId?: string; transactionTimeout: number }): Promise<{
    producerId: string
    producerEpoch: number
  }>
  findGroupCoordinator(options: {
    groupId: string
    coordinatorType: number
  }): Promise<{ coordinator: { nodeId: number } }>
  joinGroup(options: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    memberId: string
    groupProtocols: readonly { name: string; metadata: Buffer }[]
  }): Promise<{
    generationId: number
    leaderId: string
    memberId: string
    members: readonly { memberId: string; memberMetadata: Buffer }[]
  }>
  syncGroup(options: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: readonly { memberId: string; memberAssignment: Buffer }[]
  }): Promise<{ memberAssignment: Buffer }>
  heartbeat(options: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>
  leaveGroup(options: { groupId: string; memberId: string }): Promise<unknown>
  offsetCommit(options: {
    groupId: string
    groupGenerationId: number
    memberId: string
    topics: readonly PerTopic<PartitionOffset>[]
  }): Promise<unknown>
  offsetFetch(options: {
    groupId: string
    topics: readonly PerTopic<{ readonly partition: number }>[]
  }): Promise<{ responses: readonly PerTopic<PartitionOffset>[] }>
  listOffsets(options: {
    replicaId: number
    isolationLevel: number
    topics: readonly PerTopic<{ readonly partition: number; readonly timestamp: number }>[]
  }): Promise<{ responses: readonly PerTopic<PartitionOffset>[] }>
}

export interface DriverLogger {
  namespace(name: string): DriverLogger
}
export interface DriverLogEntry {
  readonly namespace: string
  readonly level: number
  readonly log: Readonly<Record<string, unknown>> & { readonly message: string }
}

export const Broker = load('kafkajs/src/broker') as new (options: {
  connectionPool: DriverPool
  logger: DriverLogger
  nodeId?: number
  authenticationTimeout: number
  allowAutoTopicCreation: boolean
}) => DriverBroker

export const ConnectionPool = load('kafkajs/src/network/connectionPool') as new (
  options: Readonly<Record<string, unknown>>,
) => DriverPool

export const { createLogger } = load('kafkajs/src/loggers') as {
  createLogger(options: { level: number; logCreator: () => (entry: DriverLogEntry) => void }): DriverLogger
}

/** Names of the broker's error codes, as kafkajs knows them. */
export const { errorCodes } = load('kafkajs/src/protocol/error') as {
  errorCodes: readonly { readonly type: string; readonly code: number; readonly message: string }[]
}

export const { MemberMetadata, MemberAssignment } = load('kafkajs/src/consumer/assignerProtocol') as {
  MemberMetadata: {
    encode(subscription: { version: number; topics: readonly string[] }): Buffer
    decode(bytes: Buffer): { topics: readonly string[] }
  }
  MemberAssignment: {
    encode(assignment: { version: number; assignment: Readonly<Record<string, readonly number[]>> }): Buffer
    decode(bytes: Buffer): { assignment: Readonly<Record<string, readonly number[]>> } | null
  }
}
