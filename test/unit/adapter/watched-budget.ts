import { Budget } from '../../../src/adapter/budget.ts'

/** A budget that knows how many wait for room in it or in a part of it; one message fills it, unless told otherwise. */
export class WatchedBudget extends Budget {
  waiting = 0
  most = 0

  constructor(maxCount = 1) {
    super({ maxCount, maxBytes: 1_000_000 })
  }

  protected override async waitForSlackOf(budget: Budget, signal: AbortSignal | undefined): Promise<void> {
    this.waiting += 1
    this.most = Math.max(this.most, this.waiting)
    await super.waitForSlackOf(budget, signal)
    this.waiting -= 1
  }
}
