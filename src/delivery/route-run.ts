import type { Delivery } from '../adapter/contract.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { PermanentError } from '../errors.ts'
import type { CompiledRoute } from '../routing/router.ts'
import type { Params } from '../routing/subject.ts'
import type { RouteStats } from '../telemetry/stats.ts'
import type { DeadLetterOffice } from './dead-letters/office.ts'
import type { Outlet } from './outlet.ts'
import { Parcel } from './parcel.ts'
import type { Receipt } from './receipt.ts'
import type { StoredRoute } from './stored/stored-route.ts'
import { Transit } from './transit.ts'

/** A message that passed this gateway more often is in a loop. */
const maxHops = 8

/** A running route: decides about a message and hands it to the route's outlets. */
export class RouteRun {
  readonly compiled: CompiledRoute
  readonly stats: RouteStats
  /** What of it is in the store: all of its messages, or where it acknowledges `delivered`, those that were requeued. */
  readonly stored: StoredRoute
  readonly #outlets: readonly Outlet[]
  readonly #deadLetters: DeadLetterOffice
  readonly #gatewayId: string

  constructor(parts: {
    compiled: CompiledRoute
    stats: RouteStats
    stored: StoredRoute
    outlets: readonly Outlet[]
    deadLetters: DeadLetterOffice
    gatewayId: string
  }) {
    this.compiled = parts.compiled
    this.stats = parts.stats
    this.stored = parts.stored
    this.#outlets = parts.outlets
    this.#deadLetters = parts.deadLetters
    this.#gatewayId = parts.gatewayId
  }

  take(delivery: Delivery, params: Params, receipt: Receipt): void {
    const { envelope } = delivery
    if (envelope.hops !== undefined && this.#isLooping(envelope)) {
      const error = new PermanentError('MESSAGE_LOOPING', `it passed this gateway more than ${maxHops} times`)
      return this.#refuse(receipt, params, error)
    }
    const decision = this.compiled.decide(envelope, params, receipt.receivedAt)
    if (decision.kind === 'failed') return this.#refuse(receipt, params, decision.error)
    if (decision.kind === 'filtered') return new Transit(receipt, params, 0, this.stats).filtered()
    if (this.compiled.route.acknowledge === 'stored') {
      return this.stored.keep(delivery, receipt, { params, forwards: decision.targets, identity: decision.identity })
    }
    const transit = new Transit(receipt, params, decision.targets.length, this.stats)
    const hops = hopsOf(envelope, this.#gatewayId)
    for (const { index, outbound } of decision.targets) {
      outbound.hops = hops
      const outlet = this.#outlets[index]!
      outlet.dispatcher.add(new Parcel(outlet, outbound, receipt.receivedMs, transit))
    }
  }

  #refuse(receipt: Receipt, params: Params, error: PermanentError): void {
    this.#deadLetters.take(new Transit(receipt, params, 1, this.stats), error, {
      attempts: 0,
      target: undefined,
      bit: undefined,
    })
  }

  #isLooping(envelope: Envelope): boolean {
    let passed = 0
    for (const id of envelope.hops?.split(',') ?? []) if (id === this.#gatewayId) passed += 1
    return passed > maxHops
  }
}

/** The gateways a message will have passed, `gatewayId` last. */
export function hopsOf(envelope: Envelope, gatewayId: string): string {
  return envelope.hops === undefined ? gatewayId : `${envelope.hops},${gatewayId}`
}
