import type { Deliver, Delivery } from '../adapter/contract.ts'
import type { CompiledRoute, RouteMatch, Router } from '../routing/router.ts'
import type { LinkStats } from '../telemetry/stats.ts'
import { type Moment, Receipt } from './receipt.ts'
import type { RouteRun } from './route-run.ts'
import { Turns } from './turns.ts'

/** What one source feeds: hands each message to the routes that want it. */
export function intake(router: Router, runs: ReadonlyMap<CompiledRoute, RouteRun>, link: LinkStats): Deliver {
  const turns = new Turns()
  const take = (delivery: Delivery, now: Moment): void => {
    link.received += 1
    const matches = matchesOf(router, delivery)
    if (matches.length === 0) {
      link.unmatched += 1
      link.settled += 1
      return delivery.settle('accept')
    }
    const receipt = new Receipt(delivery, matches.length, now, link)
    if (delivery.keep !== undefined) receipt.isStoredByAll = matches.every(isStored)
    for (const { route, params } of matches) runs.get(route)!.take(delivery, params, receipt)
    delivery.envelope.forgetJson()
  }
  return (batch) => {
    const now = { ms: performance.now(), at: Date.now() }
    const deliveries = batch[Symbol.iterator]()
    turns.take(() => {
      while (!turns.isOver) {
        const { done, value } = deliveries.next()
        if (done) return true
        take(value, now)
      }
      return false
    })
  }
}

/** A broker may send a copy for each of several subscriptions: each is for some of the routes that read the address. */
function matchesOf(router: Router, { address, subject, readers }: Delivery): readonly RouteMatch[] {
  const matches = router.lookup(address, subject)
  return readers === undefined ? matches : matches.filter(({ route }) => readers.has(route.route.from.settings))
}

const isStored = ({ route }: RouteMatch): boolean => route.route.acknowledge === 'stored'
