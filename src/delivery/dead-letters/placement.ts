import type { StoredDeadLetter } from '../../store/contract.ts'

/** Where a dead letter goes when it is requeued: its route, and the bits of the targets that want it; or why it cannot. */
export type Placement = { readonly route: number; readonly wanted: number } | { readonly problem: string }
export type Place = (letter: StoredDeadLetter) => Placement

/** A route as the store knows it, see `Outbox.route`. */
export interface NumberedRoute {
  readonly route: number
  readonly bits: readonly number[]
  readonly match: 'all' | 'first'
  /** Its messages are requests. */
  readonly expectsReplies?: boolean
}

/**
 * A letter goes to the target that failed, and to no other that may have its message already; to all of the route where it
 * failed before it came to a target, and where only the first that matches gets it: mended, it may match another. (A letter
 * from a time when the same route sent to all may so reach a target that has it.) `routeOf` gives the routes configured now.
 */
export function placeBy(routeOf: (name: string) => NumberedRoute | undefined): Place {
  return (letter) => {
    const found = routeOf(letter.route)
    if (found === undefined) return { problem: `route ${letter.route} is not configured any more` }
    const { route, bits, match, expectsReplies } = found
    if (expectsReplies) return { problem: `route ${letter.route} asks, and nobody waits for the answer any more` }
    if (letter.bit === undefined || match === 'first') return { route, wanted: bits.reduce((all, bit) => all | bit, 0) }
    if (bits.includes(letter.bit)) return { route, wanted: letter.bit }
    return { problem: `route ${letter.route} has no target ${letter.target ?? ''} any more` }
  }
}
