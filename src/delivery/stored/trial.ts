import type { StoredMessage } from '../../store/contract.ts'
import type { Starts } from './starts.ts'

/** After a crash messages are handed out in groups: of so many where none died with them, one, or more starts. */
const groupCounts = [128, 16, 1] as const
/** What the process outlives by so long, or what is answered, is innocent. Milliseconds. */
const trialMs = 500
/** A message is set aside after two starts that died while it was on its way among others, and three while it was alone. */
const maxStarts = 5

/**
 * After a crash any message that was on its way may be what the process died of. One target's are handed out a group at a
 * time, smaller ones where starts have died with them; the next when these are answered, or outlived.
 */
export class Trial {
  readonly #starts: Starts
  readonly #onEnd: () => void
  #timer: NodeJS.Timeout | undefined
  /** Noted as started by this trial. */
  #noted: readonly number[] = []
  readonly #unanswered = new Set<number>()

  /** `onEnd`: the next may be handed out. */
  constructor(starts: Starts, onEnd: () => void) {
    this.#starts = starts
    this.#onEnd = onEnd
  }

  get isUnderWay(): boolean {
    return this.#unanswered.size > 0
  }

  /**
   * As many of these, from the first, as are equally suspect; their start is on disk when it returns. All where no process
   * died; undefined when the disk is full and nothing can be noted.
   */
  partOf(rows: readonly StoredMessage[]): readonly StoredMessage[] | undefined {
    const [first] = rows
    const starts = this.#starts
    if (first === undefined) return rows
    if (!starts.isRecovered(first)) return until(rows, (row) => starts.isRecovered(row))
    const deaths = starts.before(first)
    const most = groupCounts[deaths] ?? 1
    const isOther = (row: StoredMessage) => !starts.isRecovered(row) || starts.before(row) !== deaths
    const part = until(rows, (row, i) => i === most || isOther(row))
    if (deaths >= maxStarts) return part
    const noted = starts.note(part)
    if (noted === undefined) return undefined
    this.#noted = noted
    this.#timer = setTimeout(() => this.#end(), trialMs)
    return part
  }

  isPoison(row: StoredMessage): boolean {
    return this.#starts.isRecovered(row) && this.#starts.before(row) >= maxStarts
  }

  /** It is on its way from here on. */
  begin(row: StoredMessage): void {
    if (this.#starts.isRecovered(row)) this.#unanswered.add(row.id)
  }

  /** It goes nowhere. */
  forget(id: number): void {
    this.#unanswered.delete(id)
  }

  /** The process outlived it. */
  answered(id: number): void {
    if (this.#unanswered.size > 0 && this.#unanswered.delete(id)) this.endIfAnswered()
  }

  endIfAnswered(): void {
    if (this.#timer !== undefined && this.#unanswered.size === 0) this.#end()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** What is left of them is innocent. */
  #end(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#unanswered.clear()
    this.#starts.absolve(this.#noted)
    this.#noted = []
    this.#onEnd()
  }
}

/** Those before the first that is such. */
function until<T>(rows: readonly T[], isSuch: (row: T, place: number) => boolean): readonly T[] {
  const end = rows.findIndex(isSuch)
  return end === -1 ? rows : rows.slice(0, end)
}
