/** Plain counters that the message path adds to; metrics and the admin pages read them when somebody asks. */
import type { ErrorCode } from '../errors.ts'
import type { DeadLetterReason } from '../store/dead-letters.ts'
import { Histogram } from './histogram.ts'

/** A connection's side as source or sink, or where it hears replies. */
export type LinkState = 'connecting' | 'up' | 'down' | 'stopped'

export class LinkStats {
  readonly connection: string
  readonly protocol: string
  readonly role: 'source' | 'sink' | 'replies'
  state: LinkState = 'connecting'
  /** Milliseconds since the epoch of the last change of state. */
  since = Date.now()
  /** Why it is not up. */
  error: string | undefined
  reconnects = 0
  received = 0
  /** Received where no route wanted it: settled at once. */
  unmatched = 0
  settled = 0
  /** What the adapter itself counts. */
  readonly extra = new Map<string, number>()

  constructor(connection: string, protocol: string, role: LinkStats['role']) {
    this.connection = connection
    this.protocol = protocol
    this.role = role
  }
}

/** A destination that takes no messages for now, while the target itself is up. */
export interface Blocked {
  readonly code: ErrorCode
  readonly message: string
  /** Milliseconds since the epoch. */
  readonly since: number
}

export class TargetStats {
  readonly connection: string
  readonly protocol: string
  delivered = 0
  attemptsOk = 0
  attemptsRetry = 0
  attemptsFail = 0
  /** By address, such as `kafka://events/telemetry`. */
  readonly blocked = new Map<string, Blocked>()
  /** From the hand-over to the sink's queue until confirmed, in seconds. */
  readonly duration = new Histogram()

  constructor(connection: string, protocol: string) {
    this.connection = connection
    this.protocol = protocol
  }
}

/**
 * Of a route that expects replies. Once nothing is under way: replies = returned + late + unknown. A request counts as
 * delivered when its answer, the reply or the error in its place, is confirmed at its asker.
 */
export class ExchangeStats {
  /** Requests that wait for a reply, or whose answer is on its way. */
  outstanding = 0
  /** Replies heard. */
  replies = 0
  /** Replies whose asker has its answer. */
  returned = 0
  /** Replies to requests that are over, and those whose asker is gone or cannot have them. */
  late = 0
  /** Replies without a correlation, or with one that was never given. */
  unknown = 0
  /** Requests that no reply came to in time. */
  timedOut = 0
  /** Requests turned away or held back, as too many were outstanding. */
  refused = 0
}

/**
 * Invariant at every moment:
 * matched + restored = delivered + filtered + duplicates + deadLettered + released + inFlight + waiting.
 */
export class RouteStats {
  readonly name: string
  readonly targets: readonly TargetStats[]
  /** Its source is answered once a message is in the store. */
  readonly isStored: boolean
  matched = 0
  delivered = 0
  filtered = 0
  released = 0
  /** Repeated within the route's `deduplicate` window. */
  duplicates = 0
  /** In memory alone: its source has not been answered. */
  inFlight = 0
  /** Safe in the store, not yet delivered. */
  waiting = 0
  /** Found in the store at the start, or come back from the dead letters. */
  restored = 0
  readonly deadLettered = new Map<DeadLetterReason, number>()
  /** Conditions that were false because a field was not there. */
  missingFields: () => number = () => 0
  /** From receipt until every target confirmed, or the asker has its answer, in seconds. */
  readonly duration = new Histogram()
  /** Of a route that expects replies. */
  readonly exchange: ExchangeStats | undefined

  constructor(name: string, targets: readonly TargetStats[], isStored = false, exchange?: ExchangeStats) {
    this.name = name
    this.targets = targets
    this.isStored = isStored
    this.exchange = exchange
  }

  countDeadLetter(reason: DeadLetterReason): void {
    this.deadLettered.set(reason, (this.deadLettered.get(reason) ?? 0) + 1)
  }

  get deadLetteredTotal(): number {
    let total = 0
    for (const count of this.deadLettered.values()) total += count
    return total
  }
}

/** Why the admin server turned somebody away. */
export type RefusalReason = 'token' | 'origin' | 'host'
