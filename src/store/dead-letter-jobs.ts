import type { Job } from './commit-queue.ts'
import type { DeadLetter } from './dead-letters.ts'
import { encodeFields } from './record.ts'

/** What a row takes up besides its payload, its fields and its error. */
const rowBytes = 512

export function bytesOfLetter(fields: string, payload: Uint8Array | null, error: { message: string }): number {
  return Buffer.byteLength(fields) + (payload?.byteLength ?? 0) + Buffer.byteLength(error.message) + rowBytes
}

/** Where letters are written. */
export interface DeadLetterWriter {
  /** Inside the transaction; the id of the new row. */
  insert(letter: DeadLetter, fields: string, bytes: number): number
  /** After the fsync. */
  arrived(job: Job): void
}

/** A letter that is being stored. */
export class LetterJob implements Job {
  readonly pace = 'now'
  readonly sizeBytes: number
  readonly #letters: DeadLetterWriter
  readonly #letter: DeadLetter
  readonly #fields: string
  readonly #safe: (id: number) => void
  #id = 0

  constructor(letters: DeadLetterWriter, letter: DeadLetter, safe: (id: number) => void) {
    this.#letters = letters
    this.#letter = letter
    this.#fields = encodeFields(letter.envelope)
    this.#safe = safe
    this.sizeBytes = bytesOfLetter(this.#fields, letter.envelope.payload, letter.error)
  }

  apply(): void {
    this.#id = this.#letters.insert(this.#letter, this.#fields, this.sizeBytes)
  }

  done(): void {
    this.#letters.arrived(this)
    this.#safe(this.#id)
  }
}
