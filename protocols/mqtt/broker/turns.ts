/**
 * Fair shares of the event loop: all connections together hand over so many packets in one turn of it, each no more than a
 * part; who comes too late is first in the next. Small packets would otherwise keep everything else from its turn.
 */

const ofAllPerTurn = 4_096
const ofOnePerTurn = 1_024

export class Turns {
  #left = ofAllPerTurn
  readonly #waiting = new Set<() => void>()
  #isCounting = false

  /** Packets that may be handed over now; 0: `goOn` is called in a later turn. */
  grant(goOn: () => void): number {
    if (this.#left > 0) return Math.min(this.#left, ofOnePerTurn)
    this.waitForTurn(goOn)
    return 0
  }

  spend(packets: number): void {
    this.#left -= packets
    this.#endTurn()
  }

  /** Calls back in a turn that has room, in the order of asking; who asks twice is called once. */
  waitForTurn(goOn: () => void): void {
    this.#waiting.add(goOn)
    this.#endTurn()
  }

  #endTurn(): void {
    if (this.#isCounting) return
    this.#isCounting = true
    setImmediate(() => this.#begin())
  }

  #begin(): void {
    this.#isCounting = false
    this.#left = ofAllPerTurn
    for (const goOn of this.#waiting) {
      if (this.#left <= 0) break
      this.#waiting.delete(goOn)
      goOn()
    }
    if (this.#waiting.size > 0) this.#endTurn()
  }
}
