import type { StatementSync } from 'node:sqlite'
import type { Job } from './commit-queue.ts'
import type { Append, Attempts, Finish } from './contract.ts'
import type { DeadLetterReason } from './dead-letters.ts'
import { encodeFields, hasNestedHeaders } from './record.ts'

/** What a row takes up besides the payload and the fields. */
const rowBytes = 512

/** A row to be. */
export interface NewRow {
  readonly route: number
  readonly wanted: number
  readonly key: string | Uint8Array | null
  readonly priority: number | undefined
  readonly dueAt: number
  readonly receivedAt: number
  readonly requeues: number
  readonly params: string | null
  readonly fields: string
  readonly payload: Uint8Array | null
}

/** What jobs have done to the tables, inside the transaction. */
export interface OutboxWriter {
  /** The id of the new row, or undefined for a repeated message. */
  keep(entry: Append, fields: string, bytes: number): number | undefined
  /** Whether that was the last target, and the first reason any gave. */
  take(done: Finish): { readonly isLast: boolean; readonly dead: DeadLetterReason | undefined }
}

export function bytesOfRow(fields: string, payload: Uint8Array | null): number {
  return (payload?.byteLength ?? 0) + fields.length + rowBytes
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
  #bytes = 0

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
    this.#bytes = bytesOfRow(fields, envelope.payload)
    this.#id = this.#outbox.keep(this.#entry, fields, this.#bytes)
  }

  done(): void {
    if (this.#id === undefined) this.#entry.duplicate()
    else this.#entry.safe(this.#id, this.#bytes)
  }

  dropped(): void {
    this.#entry.released()
  }
}

/** A target that is done with a message. */
export class FinishJob implements Job {
  readonly pace = 'soon'
  readonly sizeBytes = rowBytes
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

export class AttemptJob implements Job {
  readonly pace = 'soon'
  readonly sizeBytes = 0
  readonly #statement: StatementSync
  readonly #id: number
  readonly #bit: number
  readonly #attempts: Attempts

  constructor(statement: StatementSync, id: number, bit: number, attempts: Attempts) {
    this.#statement = statement
    this.#id = id
    this.#bit = bit
    this.#attempts = attempts
  }

  apply(): void {
    const { attempts, failures, dueAt, notedAt } = this.#attempts
    this.#statement.run(this.#id, this.#bit, attempts, failures, dueAt, notedAt)
  }

  done(): void {}
}

/** Messages that the process has outlived. */
export class AbsolveJob implements Job {
  readonly pace = 'soon'
  readonly sizeBytes = 0
  readonly #start: StatementSync
  readonly #ids: readonly number[]

  /** `start` adds to the starts of a message. */
  constructor(start: StatementSync, ids: readonly number[]) {
    this.#start = start
    this.#ids = ids
  }

  apply(): void {
    for (const id of this.#ids) this.#start.run(-1, id)
  }

  done(): void {}
}
