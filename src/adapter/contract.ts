/**
 * The contract between the gateway and a protocol. An adapter knows its protocol and nothing else: no routes, no retries,
 * no dead letters. The gateway owns back-off, deadlines for whole operations and reconnection.
 */
import type { Envelope, Format } from '../envelope/envelope.ts'
import type { GatewayError, PermanentError, RetryableError } from '../errors.ts'
import type { Budget } from './budget.ts'

/**
 * How a source is told what became of a message (AMQP 1.0's words).
 * accept: it is safe. release: give it back, later. reject: it can never be processed, and its dead letter is safe.
 */
export type Settlement = 'accept' | 'release' | 'reject'

/** A message as received, and the one way back to its source. */
export interface Delivery {
  readonly envelope: Envelope
  /** What the routes match on: the MQTT topic, the Kafka topic, the AMQP queue. */
  readonly address: string
  /** What the AMQP routing key adds to the address for captures; undefined elsewhere. */
  readonly subject?: string | undefined
  /** The `from`s, of those the source was made for, that this copy is for; undefined: all that read the address. */
  readonly readers?: ReadonlySet<unknown> | undefined
  /** Put among the connection's kept entries in the same transaction as the message, where the message is stored. */
  readonly keep?: KeptEntry | undefined
  /**
   * Called where it has to wait, after `envelope.ownBytes()`: what the source keeps of it besides should hold no other
   * memory either.
   */
  waits?(): void
  /**
   * Only of a source whose asker waits on the way the message came (HTTP). Called before `settle`, and at most once; a second
   * time, with the error in its place, only where a reply was rejected. `delivered`: the asker has it; `rejected`: it is gone, or
   * this cannot be written for it. Never `retryable`, never rejects, and resolves within the source's own deadline.
   */
  readonly answer?: ((reply: Reply) => Promise<Outcome>) | undefined
  /**
   * Nobody waits for its answer now: the request may wait for its turn, and where the gateway stops it is released instead of
   * being told so, as its source gives it again.
   */
  readonly isPatient?: boolean | undefined
  /** How long its asker waits, in milliseconds, where it says so itself; of a request. */
  readonly answerWithinMs?: number | undefined
  /**
   * Called exactly once, perhaps after the connection is gone: then it gives its budget back and acknowledges nothing.
   * Never throws.
   */
  settle(settlement: Settlement): void
}

/** What goes back to whoever asked: the reply, or an error in its place. */
export type Reply =
  | { readonly kind: 'reply'; readonly envelope: Envelope; readonly format?: Format | undefined }
  | { readonly kind: 'error'; readonly error: GatewayError }

/** Something with a connection. `open` may follow `close` again and again; each open is a new generation. */
export interface Component {
  /**
   * Connects, and resolves when usable. Rejects with a RetryableError when the peer cannot be reached in time or refuses
   * (the gateway tries again), with a PermanentError only where no waiting can help (the gateway then stops).
   */
  open(signal: AbortSignal): Promise<void>
  /** Lets go of the connection within a few seconds, whatever the peer does. Never rejects; safe to call twice. */
  close(): Promise<void>
}

/**
 * Where a source puts what it has read. Reads `batch` to its end: at once, or, where the rules on it cost more than one turn of
 * the event loop should take, on in later turns. So an iterator may choose as late as then what comes next. Never throws.
 */
export type Deliver = (batch: Iterable<Delivery>) => void

export interface Source extends Component {
  /**
   * Feeds `deliver` until `signal` aborts. After the abort it reads no more and resolves when all in flight is settled;
   * it rejects with a RetryableError when the connection is lost. Never more than `maxInFlight` unsettled.
   */
  consume(deliver: Deliver, signal: AbortSignal): Promise<void>
}

/** Of a message that a reply is expected to; of `Outbound`. Its envelope's `correlationId` is the token already. */
export interface Ask {
  /** Letters, digits and `-`, at most 64; the reply has to bring it back. */
  readonly token: string
  /**
   * Where replies go, see `Replies.address`: the sink writes it as its protocol's reply address, whatever the format. Undefined:
   * the target answers on the spot (`Protocol.sink.answers`), or the user's own rules say where (`request.reply`).
   */
  readonly replyTo: string | undefined
  /** Nobody waits for the reply any more. The delivery does not send such a message; a sink need not look. */
  readonly isOver: boolean
}

/** A message on its way out: the envelope and the target's settings with every template filled in. */
export interface Outbound<Target = unknown> {
  readonly envelope: Envelope
  readonly target: Target
  readonly format: Format | undefined
  /** Ids of the gateways passed, this one last, comma separated; filled in by the delivery, written as `trivium-hops`. */
  hops?: string | undefined
  /** A reply is expected; absent elsewhere. */
  readonly ask?: Ask
}

/** What became of one message. An outage is a RetryableError whose `isOutage` is true: it counts as no attempt. */
export type Outcome =
  | {
      readonly kind: 'delivered'
      /** Of a sink that `answers`, for a message with `ask`: what the target said. */
      readonly reply?: Envelope
    }
  | { readonly kind: 'retryable'; readonly error: RetryableError }
  | { readonly kind: 'rejected'; readonly error: PermanentError }
export const delivered: Outcome = Object.freeze({ kind: 'delivered' })
export const retryable = (error: RetryableError): Outcome => ({ kind: 'retryable', error })
export const rejected = (error: PermanentError): Outcome => ({ kind: 'rejected', error })
/** What an error of ours means for the message it is about. */
export const outcomeOf = (error: RetryableError | PermanentError): Outcome =>
  error.retryable ? retryable(error) : rejected(error)

export interface Sink<Target = unknown> extends Component {
  /** True when messages of one `send` and of successive sends arrive in the order given, so that lanes may be pipelined. */
  readonly keepsOrder: boolean
  /** How many `send` calls may run at once. */
  readonly maxConcurrentSends: number
  /** Most messages in one `send`; may be another from one `send` to the next. */
  readonly maxBatch: number
  /**
   * Resolves when the broker has confirmed or refused each; outcome i belongs to message i. Queued is not sent.
   * Never rejects, and always resolves within the sink's own deadline: what is unknown by then is `retryable`, PEER_TIMEOUT.
   */
  send(batch: readonly Outbound<Target>[], signal: AbortSignal): Promise<readonly Outcome[]>
  /** Resolves with the reason when the connection of the latest `open` is lost; stays pending through a `close`. */
  lost(): Promise<GatewayError>
}

/** An entry that outlives a restart. */
export interface KeptEntry {
  readonly space: string
  readonly key: string
  readonly value: Uint8Array
}

/** The entries of one connection that outlive a restart, in the gateway's store. */
export interface Kept {
  /** What a space holds, by key. */
  all(space: string): Iterable<readonly [key: string, value: Uint8Array]>
  put(entry: KeptEntry): void
  delete(space: string, key: string): void
  /** Resolves when all that was put and deleted so far is on disk. */
  flushed(): Promise<void>
}

/** What the gateway lends an adapter. */
export interface Context {
  /** The connection's name in the configuration. */
  readonly connection: string
  readonly gatewayId: string
  /** The format that the configuration says messages come in; undefined: it is detected. */
  readonly format?: Format | undefined
  readonly log: Log
  /** The process's budget of unsettled messages; a source's own limit is its child. */
  readonly budget: Budget
  /** True for a source whose messages are all settled once they are on disk, which no target keeps waiting. */
  readonly settlesOnDisk?: boolean | undefined
  /** Of a source that tells its sender what it waited for. */
  readonly storing?: Storing | undefined
  /** Of a source: whether what a `from` reads is a request. */
  readonly expectsReply?: ((from: unknown) => boolean) | undefined
  /** Of a sink: its targets as the configuration has them, with every template still in them. */
  readonly targets?: readonly ConfiguredTarget[] | undefined
  /** Of a source: the group its routes share, see `Protocol.source.group`. */
  readonly group?: string | undefined
  /** Undefined where the gateway has no store, e.g. for `trivium publish`. */
  readonly kept?: Kept | undefined
  /** Adds to a counter of the connection, shown as `trivium_endpoint_events_total{event="<name>"}`; for things only the adapter can see. */
  count(name: string, by?: number): void
}

export interface ConfiguredTarget {
  readonly settings: unknown
  /** True where what is sent there waits on disk until it is delivered. */
  readonly isStored: boolean
}

/** What the store does for the routes of a source. */
export interface Storing {
  /** True where what a `from` reads is settled once it is on disk. */
  isFor(from: unknown): boolean
  /** It takes nothing in for now: what is handed over waits for room. */
  readonly isFull: boolean
}

/** Sentences plus fields. ERROR only for loss or operator action. */
export interface Log {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}
