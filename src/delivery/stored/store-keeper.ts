import type { Log } from '../../adapter/contract.ts'
import type { StoreSettings } from '../../config/schema/types.ts'
import { PermanentError } from '../../errors.ts'
import { type Store, sequenceOf } from '../../store/contract.ts'
import type { StoreStatus } from '../../telemetry/status.ts'
import { DeadLetterKeeper } from '../dead-letters/keeper.ts'
import type { StoreCustody } from './store-custody.ts'

const lookMs = 1_000
/** Between two pieces while the store is full. */
const roomMs = 50
/** Messages set aside in one go. */
const pieceCount = 1_000
/** What is freed in one go: a part of the store's limit, and at most so many bytes. */
const pieceOfRoom = 0.1
const pieceBytes = 16 * 1024 ** 2

/** Looks after the store's limits, and tells how it stands. */
export class StoreKeeper {
  readonly #store: Store
  readonly #settings: StoreSettings
  readonly #names: readonly string[]
  readonly #custodies: ReadonlyMap<number, StoreCustody>
  readonly #log: Log
  readonly #letters: DeadLetterKeeper
  #timer: NodeJS.Timeout | undefined
  #roomTimer: NodeJS.Timeout | undefined
  #why: string | undefined
  #last: StoreStatus | undefined

  constructor(parts: {
    store: Store
    settings: StoreSettings
    /** Of all routes that are configured. */
    names: readonly string[]
    /** Of those that have messages in the store; more may come. */
    custodies: ReadonlyMap<number, StoreCustody>
    log: Log
  }) {
    this.#store = parts.store
    this.#settings = parts.settings
    this.#names = parts.names
    this.#custodies = parts.custodies
    this.#log = parts.log
    this.#letters = new DeadLetterKeeper(parts.store.deadLetters, parts.settings.deadLetters, parts.log)
  }

  start(): void {
    this.#sayWaiting()
    this.#sayOrphans()
    this.#store.onFull((isFull, why) => this.#onFull(isFull, why))
    this.#timer = setInterval(() => this.#look(), lookMs).unref()
  }

  stop(): void {
    this.#letters.stop()
    clearInterval(this.#timer)
    clearInterval(this.#roomTimer)
  }

  /** Closes the store; its last figures can still be asked for. */
  close(): void {
    this.#last = this.status()
    this.#store.close()
  }

  status(): StoreStatus {
    if (this.#last !== undefined) return this.#last
    const { count, bytes, oldestAt } = this.#store.outbox.total
    return {
      waiting: count,
      waitingBytes: bytes,
      oldestAt,
      fullBecause: this.#why,
      deadLetters: this.#store.deadLetters.countsByRoute(),
      deadLetterFigures: this.#store.deadLetters.figures,
      fileBytes: this.#store.stats.fileBytes(),
      commits: this.#store.stats.commits,
      reads: this.#store.stats.reads,
    }
  }

  #onFull(isFull: boolean, why: string): void {
    this.#why = isFull ? why : undefined
    clearInterval(this.#roomTimer)
    if (!isFull) return this.#log.info('store has room again, sources resumed')
    if (this.#settings.onFull === 'deadLetterOldest') return this.#makeRoomUntilThereIsSome()
    this.#log.warn(`store is full, sources paused: ${why}`, { code: 'STORE_FULL' })
  }

  #look(): void {
    this.#letters.look()
    const { maxAgeMs } = this.#settings
    if (maxAgeMs === undefined) return
    const error = new PermanentError('MESSAGE_EXPIRED', `it waited longer than store.maxAge (${maxAgeMs} ms)`)
    this.#setAside(error, { receivedBefore: Date.now() - maxAgeMs })
  }

  #makeRoomUntilThereIsSome(): void {
    this.#makeRoom()
    this.#roomTimer = setInterval(() => this.#makeRoom(), roomMs).unref()
  }

  #makeRoom(): void {
    const error = new PermanentError('STORE_FULL', 'it was the oldest message when the store was full')
    this.#setAside(error, { maxBytes: Math.min(pieceBytes, this.#settings.maxBytes * pieceOfRoom) })
  }

  /** What is on its way at this moment is left alone; what has just arrived is off the disk before. */
  #setAside(error: PermanentError, which: { receivedBefore?: number; maxBytes?: number }): void {
    if (this.#store.deadLetters.figures.held > 0) return // there is no room for their letters either
    const { receivedBefore, maxBytes = pieceBytes } = which
    const setAside = () => {
      let bytes = 0
      for (const { custody, id, bytes: size } of this.#longestWaiting(receivedBefore)) {
        if (bytes >= maxBytes) break
        const message = this.#store.outbox.get(custody.number, id)
        if (message !== undefined && custody.setAside(message, error)) bytes += size
      }
    }
    this.#store.flushed().then(setAside, () => {}) // a store that has failed ends the process
  }

  /** Of all routes, in the order of receipt. */
  #longestWaiting(receivedBefore: number | undefined) {
    const found = [...this.#custodies.values()].flatMap((custody) => {
      const which = { limit: pieceCount, receivedBefore }
      return custody.longestWaiting(which).map(({ id, bytes }) => ({ custody, id, bytes }))
    })
    return found.sort((a, b) => sequenceOf(a.id) - sequenceOf(b.id)).slice(0, pieceCount)
  }

  #sayWaiting(): void {
    const { outbox } = this.#store
    const orphans = outbox.orphans(this.#names).reduce((sum, { count }) => sum + count, 0)
    const count = outbox.total.count - orphans
    if (count > 0)
      this.#log.info(`messages of an earlier run wait in the store and go first: ${count}`, { waiting: count })
  }

  /** Of messages whose route or target was taken out of the configuration. */
  #sayOrphans(): void {
    for (const { route, target, count } of this.#store.outbox.orphanTargets()) {
      if (!this.#names.includes(route)) continue
      const text = `messages of route ${route} wait for ${target}, which is not configured any more; they are kept: ${count}`
      this.#log.warn(text, { route, target, waiting: count })
    }
    for (const { name, count } of this.#store.outbox.orphans(this.#names)) {
      const text = `messages in the store belong to ${name}, which is not configured any more; they are kept: ${count}`
      this.#log.warn(text, { route: name, waiting: count })
    }
  }
}
