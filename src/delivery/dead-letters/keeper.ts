import type { Log } from '../../adapter/contract.ts'
import { Summary } from '../../adapter/summary.ts'
import type { DeadLetterSettings } from '../../config/schema/types.ts'
import { RetryableError } from '../../errors.ts'
import type { DeadLetterFigures, DeadLetterStore } from '../../store/contract.ts'
import { shown } from '../../store/room.ts'

/** The log warns above this part of the limit, and may warn again once it is below the other. */
const warnAt = 0.8
const calmAt = 0.7

/** Looks after the limits of the dead letters: deletes what is too old, and tells the log before and when they are full. */
export class DeadLetterKeeper {
  readonly #letters: DeadLetterStore
  readonly #settings: DeadLetterSettings
  readonly #log: Log
  readonly #dropped: Summary
  readonly #expired: Summary
  #isNearlyFull = false
  #isHolding = false
  #toldDropped = 0

  constructor(letters: DeadLetterStore, settings: DeadLetterSettings, log: Log) {
    this.#letters = letters
    this.#settings = settings
    this.#log = log
    this.#dropped = new Summary((count) => this.#sayDropped(count))
    this.#expired = new Summary((count) => this.#sayExpired(count))
  }

  /** To be called about once a second. */
  look(): void {
    this.#expire()
    const figures = this.#letters.figures
    const dropped = figures.dropped - this.#toldDropped
    this.#toldDropped = figures.dropped
    if (dropped > 0 && this.#dropped.isFirst(dropped)) this.#sayDropped(dropped)
    this.#sayHolding(figures)
    this.#sayNearlyFull(figures)
  }

  stop(): void {
    this.#dropped.close()
    this.#expired.close()
  }

  #expire(): void {
    const { maxAgeMs } = this.#settings
    if (maxAgeMs === undefined) return
    try {
      const count = this.#letters.expire(Date.now() - maxAgeMs)
      if (count > 0 && this.#expired.isFirst(count)) this.#sayExpired(count)
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error // the disk is full: later
    }
  }

  #sayDropped(count: number): void {
    this.#log.error(`${counted(count)} dropped, the oldest first, as there was no room for new ones`, { count })
  }

  #sayExpired(count: number): void {
    this.#log.warn(`${counted(count)} deleted: older than store.deadLetters.maxAge`, { count })
  }

  #sayHolding({ held, maxBytes }: DeadLetterFigures): void {
    if (held > 0 === this.#isHolding) return
    this.#isHolding = held > 0
    if (!this.#isHolding) return this.#log.info('room for dead letters again, sources resumed')
    const text = `the dead letters are full (${shown(maxBytes)}): what fails stays where it came from, and its source is held back`
    this.#log.error(`${text}; requeue or discard some, or raise store.deadLetters.maxBytes`, { code: 'STORE_FULL' })
  }

  #sayNearlyFull({ bytes, maxBytes }: DeadLetterFigures): void {
    if (bytes < maxBytes * calmAt) this.#isNearlyFull = false
    if (this.#isNearlyFull || bytes < maxBytes * warnAt) return
    this.#isNearlyFull = true
    const { onFull } = this.#settings
    const next =
      onFull === 'wait' ? 'when full, sources of what fails are held back' : 'when full, the oldest are dropped'
    this.#log.warn(`dead letters take up ${shown(bytes)} of ${shown(maxBytes)}: ${next}`, { code: 'STORE_FULL', bytes })
  }
}

const counted = (count: number) => (count === 1 ? 'one dead letter was' : `${count} dead letters were`)
