import type { DeadLetterFigures } from '../store/contract.ts'
import type { LinkStats, RefusalReason, RouteStats } from './stats.ts'

/** A running gateway as the admin server and the metrics see it. */
export interface GatewayStatus {
  readonly id: string
  readonly version: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly isDraining: boolean
  readonly links: readonly LinkStats[]
  readonly routes: readonly RouteStats[]
  /** Taken in and not yet settled, in the whole process. */
  readonly inFlight: { readonly count: number; readonly bytes: number }
  readonly store: StoreStatus
  /** Whom the admin server has refused. */
  readonly adminRefused?: ReadonlyMap<RefusalReason, number> | undefined
}

export interface StoreStatus {
  readonly waiting: number
  readonly waitingBytes: number
  /** Milliseconds since the epoch: receipt of the oldest message that waits. */
  readonly oldestAt: number | undefined
  /** Why sources are held back; undefined: they are not. */
  readonly fullBecause: string | undefined
  /** By route. */
  readonly deadLetters: ReadonlyMap<string, number>
  readonly deadLetterFigures: DeadLetterFigures
  readonly fileBytes: number
  readonly commits: number
  /** How often targets looked on disk for what waits for them; those that keep up never do. */
  readonly reads: number
}

/** What a link waits for. */
export interface NotReadyReason {
  readonly connection: string
  readonly role: string
  readonly reason: string
}

/** What keeps the gateway from taking in messages: empty when it is ready. A target whose messages wait in the store does not. */
export function notReady(status: GatewayStatus): readonly NotReadyReason[] {
  const waiting = linksDown(status).filter(
    ({ role, connection }) => role === 'source' || !isBuffered(status, connection),
  )
  const { fullBecause } = status.store
  return [
    ...(status.isDraining ? [{ connection: '*', role: 'gateway', reason: 'draining' }] : []),
    ...(fullBecause === undefined ? [] : [{ connection: '*', role: 'store', reason: `full: ${fullBecause}` }]),
    ...waiting,
  ]
}

/** The links that are not up, with the reason. */
export function linksDown(status: GatewayStatus): readonly NotReadyReason[] {
  return status.links
    .filter((link) => link.state !== 'up')
    .map((link) => ({ connection: link.connection, role: link.role, reason: link.error ?? link.state }))
}

/** True where every route that sends there keeps its messages in the store meanwhile. */
function isBuffered({ routes }: GatewayStatus, connection: string): boolean {
  return routes.every((route) => route.isStored || route.targets.every((target) => target.connection !== connection))
}
