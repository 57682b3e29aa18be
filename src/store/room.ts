import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Log } from '../adapter/contract.ts'
import type { Gate } from './commit-queue.ts'
import { Reserve, reserveBytes } from './reserve.ts'
import { roomIn } from './sqlite-error.ts'
import type { Tally } from './tally.ts'

/** Once full, the store stays so until this part of its limit is free again: it would open and shut with every message. */
const slack = 0.05
/** Without a reserve: as long as the file itself has so much unused room, messages may come in. */
const freeInsideBytes = 2 * reserveBytes
/** While the disk is full no more goes into one transaction: the log has only the reserve's room. */
const pieceBytes = reserveBytes / 2
/** What the log may need besides the reserve; a reserve that leaves it no room would only fill the disk again. */
const logBytes = 2 * reserveBytes

/** Whether there is room for more: the limit of the configuration, and the disk's own. */
export class Room implements Gate {
  readonly #directory: string
  readonly #maxBytes: number
  readonly #tally: Tally
  readonly #reserve: Reserve
  readonly #log: Log
  readonly #freePages: StatementSync
  #isOverLimit = false
  isDiskFull = false

  constructor(database: DatabaseSync, parts: { directory: string; maxBytes: number; tally: Tally; log: Log }) {
    this.#directory = parts.directory
    this.#maxBytes = parts.maxBytes
    this.#tally = parts.tally
    this.#log = parts.log
    this.#reserve = new Reserve(parts.directory)
    this.#freePages = database.prepare('PRAGMA freelist_count')
    this.isDiskFull = !this.#reserve.make()
  }

  shutFor(bytes: number): string | undefined {
    if (this.isDiskFull && (bytes === 0 ? !this.#hasDiskAgain() : bytes > pieceBytes)) return 'the disk is full'
    const isBelow = this.#tally.bytes + bytes < this.#maxBytes * (this.#isOverLimit ? 1 - slack : 1)
    if (bytes === 0) this.#isOverLimit = !isBelow
    if (isBelow) return undefined
    return `it holds ${this.#tally.count} messages of ${shown(this.#tally.bytes)}, its limit is ${shown(this.#maxBytes)}`
  }

  diskIsFull(): void {
    if (!this.isDiskFull) this.#log.error('the disk is full: no message is taken in', { directory: this.#directory })
    this.isDiskFull = true
    this.#reserve.release()
  }

  #hasDiskAgain(): boolean {
    if (roomIn(this.#directory) > reserveBytes + logBytes && this.#reserve.make()) {
      this.isDiskFull = false
      this.#log.info('the disk has room again', { directory: this.#directory })
      return true
    }
    return (this.#freePages.get()?.freelist_count as number) * pageBytes > freeInsideBytes
  }
}

const pageBytes = 4096

/** For people: `512 KiB`, `4 MiB`. */
export function shown(bytes: number): string {
  return bytes < 2 ** 20 ? `${Math.round(bytes / 2 ** 10)} KiB` : `${Math.round(bytes / 2 ** 20)} MiB`
}
