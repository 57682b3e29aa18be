import type { Forwarding } from '../../routing/router.ts'
import type { StoredMessage } from '../../store/contract.ts'
import type { Outlet } from '../outlet.ts'
import type { Feed } from './feed.ts'
import type { Room } from './residence.ts'

/** One target of a route, and its messages in the store. */
export interface StoredTarget {
  readonly outlet: Outlet
  readonly feed: Feed
  readonly room: Room
}

export function bitsOf(targets: readonly StoredTarget[]): number {
  return targets.reduce((all, { outlet }) => all | outlet.bit, 0)
}

/** Of those that get a message. */
export function bitsWanted(targets: readonly StoredTarget[], outbounds: Forwarding['outbounds']): number {
  let bits = 0
  for (let index = 0; index < outbounds.length; index += 1) {
    if (outbounds[index] !== undefined) bits |= (targets[index] as StoredTarget).outlet.bit
  }
  return bits
}

export function isWaitedForBy({ wanted, done }: StoredMessage, { outlet }: StoredTarget): boolean {
  return (wanted & ~done & outlet.bit) !== 0
}
