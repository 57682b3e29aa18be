import type { Params } from '../routing/subject.ts'
import type { DeadLetterReason } from '../store/dead-letters.ts'
import type { RouteStats } from '../telemetry/stats.ts'
import type { Receipt, RouteResult } from './receipt.ts'

/** One message on its way through one route: ends once, when the last of its targets has ended. */
export class Transit {
  readonly receipt: Receipt
  /** What the route captured from the message's address. */
  readonly params: Params
  readonly #stats: RouteStats
  #targetsLeft: number
  #deadLettered: DeadLetterReason | undefined
  #isReleased = false

  constructor(receipt: Receipt, params: Params, targets: number, stats: RouteStats) {
    this.receipt = receipt
    this.params = params
    this.#targetsLeft = targets
    this.#stats = stats
    stats.matched += 1
    stats.inFlight += 1
  }

  /** Nothing of it goes to any target. */
  filtered(): void {
    this.#stats.filtered += 1
    this.#end('filtered')
  }

  confirmed(nowMs: number): void {
    this.#targetEnded(nowMs)
  }

  /** Its dead letter is safe. */
  deadLettered(reason: DeadLetterReason, nowMs: number): void {
    this.#deadLettered ??= reason
    this.#targetEnded(nowMs)
  }

  released(nowMs: number): void {
    this.#isReleased = true
    this.#targetEnded(nowMs)
  }

  #targetEnded(nowMs: number): void {
    this.#targetsLeft -= 1
    if (this.#targetsLeft > 0) return
    if (this.#isReleased) {
      this.#stats.released += 1
      this.#end('released')
    } else if (this.#deadLettered !== undefined) {
      this.#stats.countDeadLetter(this.#deadLettered)
      this.#end('dead_lettered')
    } else {
      this.#stats.delivered += 1
      this.#stats.duration.observeMs(nowMs - this.receipt.receivedMs)
      this.#end('delivered')
    }
  }

  #end(result: RouteResult): void {
    this.#stats.inFlight -= 1
    this.receipt.end(result)
  }
}
