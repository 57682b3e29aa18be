import type { LinkStats, RouteStats } from './stats.ts'

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
}

/** The links that are not up, with the reason: empty when the gateway is ready. */
export function notReady(status: GatewayStatus): readonly { connection: string; role: string; reason: string }[] {
  const waiting = status.links
    .filter((link) => link.state !== 'up')
    .map((link) => ({ connection: link.connection, role: link.role, reason: link.error ?? link.state }))
  return status.isDraining ? [{ connection: '*', role: 'gateway', reason: 'draining' }, ...waiting] : waiting
}
