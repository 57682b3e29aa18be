/** What is to be done to the outbox in a transaction. */
import type { Job } from './commit-queue.ts'
import type { Append, Finish } from './contract.ts'
import type { DeadLetterReason } from './dead-letters.ts'
import { encodeFields, hasNestedHeaders } from './record.ts'

/** What a message takes up besides its payload and its fields, as limits count it. */
const besidesBytes = 512
/** What noting that a target is done with a message writes: a bit, and a part of a page of the database. */
const finishBytes = 32

export function bytesOfMessage(fields: string, payload: Uint8Array | null): number {
  return (payload?.byteLength ?? 0) + fields.length + besidesBytes
}

/** Inside the transaction. */
export interface OutboxWriter {
  /** The id of the new message, or undefined for a repeated one. */
  keep(entry: Append, fields: string, bytes: number): number | undefined
  /** Whether that was the last target, and the first reason any gave. */
  take(done: Finish): { readonly isLast: boolean; readonly dead: DeadLetterReason | undefined }
}

/** A message that is being stored. */
export class AppendJob implements Job {
  readonly pace = 'append'
  readonly sizeBytes: number
  /** Several routes may want one message, and its source's entry is committed with any of them. */
  readonly whole: unknown
  readonly #outbox: OutboxWriter
  readonly #entry: Append
  /** Made now where that can fail, else when they are needed: then they are gone before the collector sees them. */
  readonly #fields: string | undefined
  #id: number | undefined

  constructor(outbox: OutboxWriter, entry: Append) {
    this.#outbox = outbox
    this.#entry = entry
    const { envelope } = entry
    this.whole = envelope
    this.#fields = hasNestedHeaders(envelope) ? encodeFields(envelope) : undefined
    this.sizeBytes = envelope.sizeBytes + (this.#fields?.length ?? 0)
  }

  apply(): void {
    const { envelope } = this.#entry
    const fields = this.#fields ?? encodeFields(envelope)
    this.#id = this.#outbox.keep(this.#entry, fields, bytesOfMessage(fields, envelope.payload))
  }

  done(): void {
    if (this.#id === undefined) this.#entry.duplicate()
    else this.#entry.safe(this.#id)
  }

  dropped(): void {
    this.#entry.released()
  }
}

/** A target that is done with a message. */
export class FinishJob implements Job {
  readonly pace = 'soon'
  readonly sizeBytes = finishBytes
  readonly #outbox: OutboxWriter
  readonly #done: Finish
  #isLast = false
  #dead: DeadLetterReason | undefined

  constructor(outbox: OutboxWriter, done: Finish) {
    this.#outbox = outbox
    this.#done = done
  }

  apply(): void {
    const { isLast, dead } = this.#outbox.take(this.#done)
    this.#isLast = isLast
    this.#dead = dead
  }

  done(): void {
    if (this.#isLast) this.#done.ended(this.#dead)
  }
}
