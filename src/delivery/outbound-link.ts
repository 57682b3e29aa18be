import type { Sink } from '../adapter/contract.ts'
import type { GatewayError } from '../errors.ts'
import type { LinkStats } from '../telemetry/stats.ts'
import { Dispatcher } from './dispatcher.ts'

/** A connection as target: one sink, shared by all routes that send there. */
export class OutboundLink {
  readonly sink: Sink
  readonly dispatcher: Dispatcher
  readonly stats: LinkStats
  #outage = Promise.withResolvers<GatewayError>()

  constructor(sink: Sink, stats: LinkStats) {
    this.sink = sink
    this.stats = stats
    this.dispatcher = new Dispatcher(sink, (error) => this.#outage.resolve(error))
  }

  /** Resolves with the next outage that a send meets. */
  nextOutage(): Promise<GatewayError> {
    this.#outage = Promise.withResolvers<GatewayError>()
    return this.#outage.promise
  }
}
