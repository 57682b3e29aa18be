import type { Outbound } from '../../adapter/contract.ts'
import { PermanentError } from '../../errors.ts'
import type { CompiledRoute } from '../../routing/router.ts'
import type { StoredMessage } from '../../store/contract.ts'
import type { SetAside } from './set-aside.ts'
import { bitsWanted, isWaitedForBy, type StoredTarget } from './stored-target.ts'

const unwantedNow = new PermanentError(
  'MESSAGE_UNWANTED',
  'the rules changed while it waited and no longer send it there',
)

/** What the rules of today make of messages that are read back. */
export class RulesAgain {
  readonly #compiled: CompiledRoute
  readonly #targets: readonly StoredTarget[]
  readonly #aside: SetAside

  constructor(compiled: CompiledRoute, targets: readonly StoredTarget[], aside: SetAside) {
    this.#compiled = compiled
    this.#targets = targets
    this.#aside = aside
  }

  /**
   * For the target at `index`; undefined: it does not go there. What it no longer goes to, or cannot, is done for all targets at
   * once: one letter, and one end of the message.
   */
  outboundOf(row: StoredMessage, index: number): Outbound | undefined {
    const decision = this.#compiled.decide(row)
    row.envelope.forgetJson()
    const outbounds = decision.kind === 'forward' ? decision.outbounds : []
    const isUnwanted = (target: StoredTarget, at: number) =>
      isWaitedForBy(row, target) && outbounds[at] === undefined && (at === index || !target.feed.has(row.id))
    const unwanted = this.#targets.filter(isUnwanted)
    if (decision.kind === 'failed') this.#aside.letters(row, decision.error, unwanted)
    else if (unwanted.length > 0) this.#refuse(row, unwanted, (row.wanted & bitsWanted(this.#targets, outbounds)) !== 0)
    return outbounds[index]
  }

  /**
   * Its source was told that these targets would have it, and the rules have changed since: somebody has to know. A letter
   * that was requeued for several is decided anew among them: where one gets it, nothing is amiss.
   */
  #refuse(row: StoredMessage, targets: readonly StoredTarget[], isForwarded: boolean): void {
    if (row.requeues > 0 && isForwarded) this.#aside.drop(row, targets)
    else this.#aside.letters(row, unwantedNow, targets)
  }
}
