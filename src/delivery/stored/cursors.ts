import { idOf, maxRank, rankOf } from '../../store/contract.ts'

/** How far one rank is handed out, and how far it reaches; ids. */
export interface Cursor {
  readonly rank: number
  after: number
  end: number
}

/** How far the messages of one target are handed out: up to `after` of each rank; what is behind it waits on disk. */
export class Cursors {
  /** Highest rank first. */
  #all: Cursor[]

  /** At the beginning of each rank; `ends` are the last ids, highest rank first. */
  constructor(ends: readonly number[]) {
    this.#all = ends.map((end) => ({ rank: rankOf(end), after: idOf(rankOf(end), 0), end }))
  }

  /** True when messages wait on disk for their turn. */
  get isBehind(): boolean {
    return this.#all.some(isUnread)
  }

  /** How many there are to read, or less: ids are given to other routes too. */
  get unread(): number {
    return this.#all.filter(isUnread).reduce((sum, { after, end }) => sum + end - after, 0)
  }

  /** The one to read from. */
  get next(): Cursor | undefined {
    return this.#all.find(isUnread)
  }

  /** There is a message with this id. */
  reach(id: number): Cursor {
    const cursor = this.#of(rankOf(id))
    cursor.end = Math.max(cursor.end, id)
    return cursor
  }

  /** It was handed out without being read; nothing before it waits. */
  pass(id: number): void {
    this.reach(id).after = id
  }

  #of(rank: number): Cursor {
    const known = this.#all[0]?.rank === rank ? this.#all[0] : this.#all.find((one) => one.rank === rank)
    if (known !== undefined) return known
    const cursor = { rank, after: idOf(Math.min(rank, maxRank), 0), end: 0 }
    this.#all = [...this.#all, cursor].sort((a, b) => b.rank - a.rank)
    return cursor
  }
}

const isUnread = ({ after, end }: Cursor): boolean => after < end
