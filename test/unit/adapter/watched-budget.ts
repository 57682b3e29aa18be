import { Budget } from '../../../src/adapter/budget.ts'

/** A budget that one message fills, and that knows how many wait for its room. */
export class WatchedBudget extends Budget {
  waiting = 0
  most = 0

  constructor() {
    super({ maxCount: 1, maxBytes: 1_000_000 })
  }

  override async whenRoom(signal?: AbortSignal): Promise<void> {
    this.waiting += 1
    this.most = Math.max(this.most, this.waiting)
    await super.whenRoom(signal)
    this.waiting -= 1
  }
}
