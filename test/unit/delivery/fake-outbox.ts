/** A store's outbox in memory, for tests of feeds. */
import { RetryableError } from '../../../src/errors.ts'
import { idOf, rankOf, type StoredMessage, sequenceOf } from '../../../src/store/contract.ts'
import { message } from '../store/stores.ts'
import { nextTurn } from './feed-target.ts'

export type Row = { -readonly [Name in keyof StoredMessage]: StoredMessage[Name] }

const isWanted = ({ wanted, done }: Row, bit: number) => (wanted & ~done & bit) !== 0

/** The outbox of one route, whose reads and marks are counted. */
export class FakeOutbox {
  rows: Row[] = []
  reads = 0
  rowsRead = 0
  readonly marks: number[][] = []
  recoveredUpTo = 0
  isBacklogged = false
  /** Once, before the next read answers: reading may commit what was handed over. */
  whileReading: (() => void) | undefined
  #sequence = 0

  /** `key: null`: it has none. */
  add(text: string, { rank = 0, wanted = 1, starts = 0, key = 'k' as string | null } = {}): Row {
    this.#sequence += 1
    const envelope = message({ messageId: text, payload: Buffer.from(text), key: key ?? undefined })
    const basics = {
      id: idOf(rank, this.#sequence),
      route: 1,
      bytes: 1,
      envelope,
      params: {},
      receivedAt: 0,
      requeues: 0,
    }
    const row = { ...basics, wanted, done: 0, starts, attempts: undefined, isDamaged: false }
    const isLast = (this.rows.at(-1)?.id ?? 0) < row.id
    this.rows.push(row)
    if (!isLast) this.rows.sort((a, b) => a.id - b.id)
    return row
  }

  /** What is here was left by a process that died. */
  crash(): void {
    this.recoveredUpTo = this.#sequence
  }

  /** Ends that the store has been told and has not written yet, where it takes its time. */
  unwritten: (() => void)[] | undefined

  finish(id: number, bit: number): void {
    if (this.unwritten === undefined) this.#finish(id, bit)
    else this.unwritten.push(() => this.#finish(id, bit))
  }

  /** Writes what it was told before, in a while. */
  async flush(): Promise<void> {
    const told = this.unwritten?.splice(0)
    await nextTurn()
    await nextTurn()
    for (const end of told ?? []) end()
  }

  #finish(id: number, bit: number): void {
    const at = this.#firstFrom(id)
    const row = this.rows[at]!
    row.done |= bit
    if ((row.wanted & ~row.done) === 0) this.rows.splice(at, 1)
  }

  read(_route: number, bit: number, { after, upTo, limit }: { after: number; upTo: number; limit: number }) {
    this.reads += 1
    this.whileReading?.()
    this.whileReading = undefined
    const found: Row[] = []
    for (let at = this.#firstFrom(after + 1); at < this.rows.length && found.length < limit; at += 1) {
      const row = this.rows[at]!
      if (row.id > upTo) break
      if (isWanted(row, bit)) found.push({ ...row })
    }
    this.rowsRead += found.length
    return found
  }

  /** So many are as large as one fetch may be. */
  mostFetched = Number.POSITIVE_INFINITY

  fetch(_route: number, bit: number, ids: readonly number[]) {
    this.whileReading?.()
    this.whileReading = undefined
    const known = ids.toSorted((a, b) => a - b).flatMap((id) => this.#rowOf(id) ?? [])
    const found = known.filter((row) => isWanted(row, bit)).slice(0, this.mostFetched)
    this.rowsRead += found.length
    return found.map((row) => ({ ...row }))
  }

  /** The last of each rank, the highest rank first. */
  ends(): number[] {
    const ends: number[] = []
    for (let row = this.rows.at(-1); row !== undefined; row = this.rows[this.#firstFrom(idOf(rankOf(row.id), 0)) - 1]) {
      ends.unshift(row.id)
    }
    return ends
  }

  /** As the disk is full. */
  cannotMark = false

  markStart(_route: number, ids: readonly number[]): void {
    if (this.cannotMark) throw new RetryableError('STORE_FULL', 'the disk is full')
    this.marks.push(ids.map(sequenceOf))
    for (const row of this.rows) if (ids.includes(row.id)) row.starts += 1
  }

  absolve(ids: readonly number[]): void {
    for (const row of this.rows) if (ids.includes(row.id)) row.starts -= 1
  }

  #rowOf(id: number): Row | undefined {
    const row = this.rows[this.#firstFrom(id)]
    return row?.id === id ? row : undefined
  }

  /** The place of the first row with that id or a higher one. */
  #firstFrom(id: number): number {
    let [low, high] = [0, this.rows.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.rows[middle]!.id < id) low = middle + 1
      else high = middle
    }
    return low
  }
}
