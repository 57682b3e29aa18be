import type { DeadLetterQuery, DeadLetterStore, StoredDeadLetter } from '../../store/contract.ts'
import { compileLetterCondition } from './condition.ts'

/** Which dead letters; all that is named must hold. */
export interface LetterQuery extends DeadLetterQuery {
  /** A CEL condition, see `compileLetterCondition`. */
  readonly where?: string | undefined
}

/** What one walk looks at at most, so that the gateway goes on with its work; and for how long, where a condition is computed. */
const maxLooked = 2_000
const maxBytes = 32 * 1024 ** 2
const maxConditionMs = 50
const readAtOnce = 32

/** Where a walk ended: `next` is where another may go on, undefined when there is nothing left. */
export interface Walked {
  readonly looked: number
  readonly next: number | undefined
}

/**
 * Shows what the query finds to `visit`, in the order of ids above `after`, until that returns false, or for long enough.
 * Synchronous: nothing changes meanwhile. Throws PermanentError USAGE for a bad condition.
 */
export function walkLetters(
  store: DeadLetterStore,
  { where, ...query }: LetterQuery,
  after: number,
  visit: (letter: StoredDeadLetter) => boolean,
): Walked {
  const holds = where === undefined ? () => true : compileLetterCondition(where)
  const untilMs = where === undefined ? Number.POSITIVE_INFINITY : performance.now() + maxConditionMs
  let looked = 0
  let bytes = 0
  let next = after
  while (looked < maxLooked) {
    const letters = store.list(query, { after: next, limit: readAtOnce })
    for (const [index, letter] of letters.entries()) {
      looked += 1
      next = letter.id
      bytes += letter.envelope.sizeBytes
      const isLast = index === letters.length - 1 && letters.length < readAtOnce
      const goesOn = !holds(letter) || visit(letter)
      const isEnough = !goesOn || bytes >= maxBytes || performance.now() >= untilMs
      if (isEnough) return { looked, next: isLast ? undefined : next }
    }
    if (letters.length < readAtOnce) return { looked, next: undefined }
  }
  return { looked, next }
}
