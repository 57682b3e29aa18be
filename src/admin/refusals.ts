import { setTimeout } from 'node:timers/promises'
import type { Log } from '../adapter/contract.ts'
import type { RefusalReason } from '../telemetry/stats.ts'

/** How long a wrong token waits for its answer, in milliseconds; and how many of them wait at a time. */
const slowMs = 1_000
const mostSlowed = 5
/** Addresses remembered for having shown the right token. */
const mostKnown = 1_000
/** A line in the log for each reason in so long; milliseconds. */
const remindMs = 60_000

const texts: Readonly<Record<RefusalReason, string>> = {
  token: 'wrong admin token',
  origin: 'cross-site request to the admin server',
  host: 'request to the admin server for a foreign host name',
}

/**
 * Whom the admin server has refused: counted, told to the log once a minute, and slowed where they guess the token. While too
 * many wrong ones wait for their answer, only addresses that have shown the right one before are listened to, and each of them
 * has a share of its own.
 */
export class Refusals {
  readonly #counts: Map<RefusalReason, number>
  readonly #log: Log | undefined
  readonly #saidMs = new Map<RefusalReason, number>()
  readonly #known = new Set<string>()
  /** By who shares it: wrong tokens that wait for their answer. */
  readonly #slowed = new Map<string, number>()

  constructor(counts: Map<RefusalReason, number>, log: Log | undefined) {
    this.#counts = counts
    this.#log = log
  }

  count(reason: RefusalReason, address: string): void {
    const count = (this.#counts.get(reason) ?? 0) + 1
    this.#counts.set(reason, count)
    const nowMs = performance.now()
    if (nowMs - (this.#saidMs.get(reason) ?? Number.NEGATIVE_INFINITY) < remindMs) return
    this.#saidMs.set(reason, nowMs)
    this.#log?.warn(`${texts[reason]}; logged at most once a minute`, {
      address,
      code: 'ACCESS_DENIED',
      sinceStart: count,
    })
  }

  mayTry(address: string): boolean {
    return (this.#slowed.get(this.#shareOf(address)) ?? 0) < mostSlowed
  }

  isRight(address: string): void {
    if (this.#known.has(address)) return
    if (this.#known.size >= mostKnown) this.#known.clear()
    this.#known.add(address)
  }

  /** A wrong token: resolves when it may be answered. */
  async slowDown(address: string): Promise<void> {
    this.count('token', address)
    const share = this.#shareOf(address)
    this.#slowed.set(share, (this.#slowed.get(share) ?? 0) + 1)
    await setTimeout(slowMs, undefined, { ref: false })
    const left = (this.#slowed.get(share) ?? 1) - 1
    if (left > 0) this.#slowed.set(share, left)
    else this.#slowed.delete(share)
  }

  #shareOf(address: string): string {
    return this.#known.has(address) ? address : ''
  }
}
