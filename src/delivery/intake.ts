import type { Deliver, Delivery } from '../adapter/contract.ts'
import type { CompiledRoute, RouteMatch, Router } from '../routing/router.ts'
import type { Params } from '../routing/subject.ts'
import type { LinkStats } from '../telemetry/stats.ts'
import type { Arrival } from './message.ts'
import { SharedDelivery } from './shared-delivery.ts'
import { Turns } from './turns.ts'

/** What reads of a source: a route, or those who wait for replies. */
export interface Reader {
  readonly compiled: CompiledRoute
  /** Mark: the source has handed over a message that it reads. */
  received(delivery: Delivery, params: Params, arrival: Arrival): void
}

/** What one source feeds: hands each message to the routes that want it. */
export function intake(router: Router, routes: ReadonlyMap<CompiledRoute, Reader>, link: LinkStats): Deliver {
  const turns = new Turns()
  const take = (delivery: Delivery, arrival: Arrival): void => {
    link.received += 1
    const matches = matchesOf(router, delivery)
    if (matches.length === 1) hand(delivery, matches[0] as RouteMatch, arrival)
    else if (matches.length > 1) share(delivery, matches, arrival)
    else {
      link.unmatched += 1
      link.settled += 1
      delivery.settle('accept')
    }
    delivery.envelope.forgetJson()
  }
  const hand = (delivery: Delivery, { route, params }: RouteMatch, arrival: Arrival): void =>
    routes.get(route)?.received(delivery, params, arrival)
  const share = (delivery: Delivery, matches: readonly RouteMatch[], arrival: Arrival): void => {
    const isStoredByAll = matches.every(({ route }) => route.route.acknowledge === 'stored')
    const shared = new SharedDelivery(delivery, { routes: matches.length, isStoredByAll, link })
    for (const match of matches) hand(shared, match, { ...arrival, link: undefined })
  }
  return (batch) => {
    const arrival = { ms: performance.now(), at: Date.now(), link }
    const deliveries = batch[Symbol.iterator]()
    turns.take(() => {
      while (!turns.isOver) {
        const { done, value } = deliveries.next()
        if (done) return true
        take(value, arrival)
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
