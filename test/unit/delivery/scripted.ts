/** A sink whose outcomes the test decides, and an owner that writes down what it is told. */
import { delivered, type Outbound, type Outcome, type Sink } from '../../../src/adapter/contract.ts'
import { Parcel, type ParcelOwner } from '../../../src/delivery/parcel.ts'
import { Envelope, type EnvelopeFields } from '../../../src/envelope/envelope.ts'
import { type GatewayError, PermanentError, RetryableError } from '../../../src/errors.ts'

export const busyFor = (retryAfterMs: number): Outcome => ({
  kind: 'retryable',
  error: new RetryableError('TARGET_BUSY', 'busy', { retryAfterMs }),
})
export const busy = busyFor(1)
export const lost: Outcome = { kind: 'retryable', error: new RetryableError('PEER_LOST', 'gone') }
export const notFound: Outcome = {
  kind: 'retryable',
  error: new RetryableError('NOT_FOUND', 'no such topic', { retryAfterMs: 1 }),
}
export const refused: Outcome = { kind: 'rejected', error: new PermanentError('MESSAGE_REFUSED', 'no') }

interface Held {
  readonly texts: readonly string[]
  answer(outcomes: readonly Outcome[]): void
}

/** Answers by `script` (text of a message -> its outcomes, one per send, then delivered), or holds its sends. */
export class ScriptedSink implements Sink {
  readonly keepsOrder: boolean
  readonly maxConcurrentSends: number
  readonly maxBatch: number
  readonly batches: string[][] = []
  readonly held: Held[] = []
  readonly script = new Map<string, Outcome[]>()
  /** Instead of the script. */
  answerOf: ((text: string) => Outcome) | undefined
  /** Before it answers. */
  pause: (() => Promise<void>) | undefined
  isHolding = false

  constructor(options: { keepsOrder?: boolean; maxConcurrentSends?: number; maxBatch?: number } = {}) {
    this.keepsOrder = options.keepsOrder ?? true
    this.maxConcurrentSends = options.maxConcurrentSends ?? 1
    this.maxBatch = options.maxBatch ?? 100
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}
  lost(): Promise<GatewayError> {
    return new Promise(() => {})
  }

  async send(batch: readonly Outbound[]): Promise<readonly Outcome[]> {
    const texts = batch.map(textOf)
    this.batches.push(texts)
    if (this.pause !== undefined) await this.pause()
    if (!this.isHolding) return texts.map((text) => this.#answer(text))
    return new Promise((resolve) => this.held.push({ texts, answer: resolve }))
  }

  #answer(text: string): Outcome {
    return this.answerOf?.(text) ?? this.script.get(text)?.shift() ?? delivered
  }

  /** All texts in the order sent. */
  get sent(): readonly string[] {
    return this.batches.flat()
  }
}

export class RecordingOwner implements ParcelOwner {
  readonly id = 'route/0'
  readonly order: 'key' | 'none'
  readonly retry
  readonly events: string[] = []
  readonly #waiting: { count: number; resolve: () => void }[] = []

  constructor(options: { order?: 'key' | 'none'; attempts?: number } = {}) {
    this.order = options.order ?? 'key'
    this.retry = { attempts: options.attempts ?? 3, delayMs: 1, maxDelayMs: 4 }
  }

  confirmed(parcel: Parcel): void {
    this.write(`confirmed ${textOf(parcel.outbound)}`)
  }
  retried(): void {}
  failed(parcel: Parcel, error: GatewayError): void {
    this.write(`failed ${textOf(parcel.outbound)} ${error.code}`)
  }
  released(parcel: Parcel): void {
    this.write(`released ${textOf(parcel.outbound)}`)
  }

  /** Resolves when so many parcels have ended. */
  ended(count: number): Promise<void> {
    if (this.events.length >= count) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ count, resolve }))
  }

  write(event: string): void {
    this.events.push(event)
    for (const { count, resolve } of this.#waiting) if (this.events.length >= count) resolve()
  }
}

/** One that has its messages on disk. */
export class ParkingOwner extends RecordingOwner {
  parked(parcel: Parcel): void {
    this.write(`parked ${textOf(parcel.outbound)}`)
  }
}

export function parcel(owner: ParcelOwner, text: string, key?: string, fields: Partial<EnvelopeFields> = {}): Parcel {
  const envelope = new Envelope({
    messageId: text,
    timestamp: new Date().toISOString(),
    source: 'test://x',
    payload: Buffer.from(text),
    key,
    ...fields,
  })
  const made = new Parcel(owner, { envelope, target: {}, format: undefined }, { id: 0, envelope })
  return Object.assign(made, { isKept: owner.parked !== undefined })
}

export const textOf = (outbound: Outbound): string => Buffer.from(outbound.envelope.payload ?? []).toString()
