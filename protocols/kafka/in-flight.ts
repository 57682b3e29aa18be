/** What has been handed over and not settled: counted, given back when released, waited for at the end. */

import type { Budget } from '../../src/adapter/budget.ts'
import type { Delivery, Settlement } from '../../src/adapter/contract.ts'
import type { KafkaDelivery, Settling } from './delivery.ts'

const redeliveryMs = 1000

export class InFlight implements Settling {
  readonly #budget: Budget
  readonly #deliver: (batch: readonly Delivery[]) => void
  readonly #released = new Map<KafkaDelivery, NodeJS.Timeout>()
  #count = 0
  #isEnding = false
  #idle: (() => void)[] = []

  constructor(budget: Budget, deliver: (batch: readonly Delivery[]) => void) {
    this.#budget = budget
    this.#deliver = deliver
  }

  get count(): number {
    return this.#count
  }

  handOver(batch: readonly KafkaDelivery[]): void {
    this.#count += batch.length
    this.#deliver(batch)
  }

  settled(delivery: KafkaDelivery, settlement: Settlement): void {
    if (settlement === 'release' && !this.#isEnding) {
      this.#released.set(
        delivery,
        setTimeout(() => this.#deliverAgain(delivery), redeliveryMs),
      )
      return
    }
    if (settlement !== 'release') delivery.confirm()
    this.#forget(delivery)
  }

  /** From now on what is released is forgotten here and stays uncommitted: the group's next reader gets it. */
  end(): void {
    this.#isEnding = true
    for (const [delivery, timer] of this.#released) {
      clearTimeout(timer)
      this.#forget(delivery)
    }
    this.#released.clear()
  }

  /** Resolves when all is settled. */
  async whenIdle(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #deliverAgain(delivery: KafkaDelivery): void {
    this.#released.delete(delivery)
    this.#deliver([delivery.again()])
  }

  #forget(delivery: KafkaDelivery): void {
    this.#count -= 1
    this.#budget.give(delivery.envelope.sizeBytes)
    if (this.#count > 0) return
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }
}
