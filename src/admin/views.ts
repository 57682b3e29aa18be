/** What the admin server answers, as plain data. */
import type { RouteStats } from '../telemetry/stats.ts'
import { type GatewayStatus, notReady } from '../telemetry/status.ts'

export function readinessView(status: GatewayStatus) {
  const waiting = notReady(status)
  return { status: waiting.length === 0 ? ('ready' as const) : ('not ready' as const), waitingFor: waiting }
}

export function connectionsView({ id, version, startedAt, links, inFlight }: GatewayStatus) {
  return {
    gateway: { id, version, startedAt: new Date(startedAt).toISOString(), inFlight },
    connections: links.map((link) => ({
      name: link.connection,
      protocol: link.protocol,
      role: link.role,
      state: link.state,
      since: new Date(link.since).toISOString(),
      error: link.error,
      reconnects: link.reconnects,
      ...(link.role === 'source' ? { received: link.received, settled: link.settled, unmatched: link.unmatched } : {}),
      events: Object.fromEntries(link.extra),
    })),
  }
}

export function routesView({ routes }: GatewayStatus) {
  return { routes: routes.map(routeView) }
}

function routeView(route: RouteStats) {
  const { name, matched, delivered, filtered, released, inFlight, deadLetteredTotal } = route
  return {
    ...{ name, matched, delivered, filtered, deadLettered: deadLetteredTotal, released, inFlight },
    deadLetterReasons: Object.fromEntries(route.deadLettered),
    missingFields: route.missingFields(),
    targets: route.targets.map((target) => ({
      connection: target.connection,
      protocol: target.protocol,
      delivered: target.delivered,
      retried: target.attemptsRetry,
      failed: target.attemptsFail,
    })),
  }
}
