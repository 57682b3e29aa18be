import { Budget } from '../../../src/adapter/budget.ts'

/** A budget that knows how many wait for its room; one message fills it, unless told otherwise. */
export class WatchedBudget extends Budget {
  waiting = 0
  most = 0

  constructor(maxCount = 1) {
    super({ maxCount, maxBytes: 1_000_000 })
  }

  override async whenRoom(signal?: AbortSignal): Promise<void> {
    this.waiting += 1
    this.most = Math.max(this.most, this.waiting)
    await super.whenRoom(signal)
    this.waiting -= 1
  }
}
