import type { Delivery } from '../adapter/contract.ts'
import type { Params } from '../routing/subject.ts'
import type { LinkStats } from '../telemetry/stats.ts'
import { Receipt } from './receipt.ts'
import type { RouteRun } from './route-run.ts'

/** Finds the routes that read an address. */
export type Lookup = (
  address: string,
  subject: string | undefined,
) => readonly { readonly route: RouteRun; readonly params: Params }[]

/** What one source feeds: hands each message to the routes that want it. */
export function intake(lookup: Lookup, link: LinkStats): (batch: readonly Delivery[]) => void {
  const take = (delivery: Delivery, nowMs: number): void => {
    link.received += 1
    const matches = lookup(delivery.address, delivery.subject)
    if (matches.length === 0) {
      link.unmatched += 1
      link.settled += 1
      return delivery.settle('accept')
    }
    const receipt = new Receipt(delivery, matches.length, nowMs, link)
    for (const { route, params } of matches) route.take(delivery, params, receipt)
  }
  return (batch) => {
    const nowMs = performance.now()
    for (const delivery of batch) take(delivery, nowMs)
  }
}
