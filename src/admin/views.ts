/** What the admin server answers, as plain data. */
import type { RouteStats, TargetStats } from '../telemetry/stats.ts'
import { type GatewayStatus, linksDown, type NotReadyReason, notReady } from '../telemetry/status.ts'

export function readinessView(status: GatewayStatus) {
  const waiting = notReady(status)
  const stored = status.routes.filter((route) => route.waiting > 0)
  return {
    status: waiting.length === 0 ? ('ready' as const) : ('not ready' as const),
    waitingFor: waiting,
    /** Targets that are away while their messages wait in the store. */
    away: linksDown(status).filter((link) => !waiting.some((one) => isSameLink(one, link))),
    stored: stored.map((route) => ({ route: route.name, messages: route.waiting })),
    /** Destinations that take nothing for now, such as a topic that is missing, of targets that are up. */
    blocked: status.routes.flatMap((route) => route.targets.flatMap((target) => blockedOf(route, target))),
    ...deadLettersHeld(status),
  }
}

/** Dead letters that wait for room, and with them the sources of their messages. */
function deadLettersHeld({ store }: GatewayStatus): { deadLettersHeld?: number } {
  const { held } = store.deadLetterFigures
  return held === 0 ? {} : { deadLettersHeld: held }
}

function blockedOf({ name: route }: RouteStats, { connection, blocked }: TargetStats) {
  const codes = new Set([...blocked.values()].map(({ code }) => code))
  return [...codes].map((code) => ({ route, connection, code }))
}

const isSameLink = (a: NotReadyReason, b: NotReadyReason): boolean => a.connection === b.connection && a.role === b.role

export function connectionsView({ id, version, startedAt, links, inFlight, store }: GatewayStatus) {
  return {
    gateway: { id, version, startedAt: new Date(startedAt).toISOString(), inFlight, store: storeView(store) },
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

function storeView({ deadLetters, deadLetterFigures, ...store }: GatewayStatus['store']) {
  const { waiting, waitingBytes, oldestAt, fullBecause, fileBytes } = store
  const oldest = oldestAt === undefined ? undefined : new Date(oldestAt).toISOString()
  const letters = [...deadLetters.values()].reduce((sum, count) => sum + count, 0)
  const { bytes: deadLetterBytes, held: deadLettersHeld, dropped: deadLettersDropped } = deadLetterFigures
  return {
    ...{ waiting, waitingBytes, oldest, fullBecause, fileBytes },
    ...{ deadLetters: letters, deadLetterBytes, deadLettersHeld, deadLettersDropped },
  }
}

export function routesView({ routes }: GatewayStatus) {
  return { routes: routes.map(routeView) }
}

const acknowledgeOf = ({ isStored, exchange }: RouteStats) =>
  isStored ? 'stored' : exchange === undefined ? 'delivered' : 'answered'

function routeView(route: RouteStats) {
  const { name, matched, restored, delivered, filtered, duplicates, released, inFlight, waiting } = route
  return {
    ...{ name, acknowledge: acknowledgeOf(route) },
    ...{ matched, restored, delivered, filtered, duplicates, deadLettered: route.deadLetteredTotal, released },
    ...{ inFlight, waiting },
    deadLetterReasons: Object.fromEntries(route.deadLettered),
    missingFields: route.missingFields(),
    targets: route.targets.map((target, index) => ({
      target: index, // as in the label of metrics
      connection: target.connection,
      protocol: target.protocol,
      delivered: target.delivered,
      retried: target.attemptsRetry,
      failed: target.attemptsFail,
      blocked: [...target.blocked].map(([address, { code, message, since }]) => ({
        ...{ address, code, message, since: new Date(since).toISOString() },
      })),
    })),
  }
}
