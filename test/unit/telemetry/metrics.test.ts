import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { LinkStats, RouteStats, TargetStats } from '../../../src/telemetry/stats.ts'
import type { GatewayStatus } from '../../../src/telemetry/status.ts'

const golden = new URL('metrics.txt', import.meta.url)

function link(connection: string, protocol: string, role: 'source' | 'sink', figures: Partial<LinkStats>): LinkStats {
  return Object.assign(new LinkStats(connection, protocol, role), figures)
}

function target(connection: string, protocol: string, figures: Partial<TargetStats>): TargetStats {
  const stats = Object.assign(new TargetStats(connection, protocol), figures)
  stats.duration.observeMs(40)
  stats.duration.observeMs(20_000)
  return stats
}

function hotRoute(): RouteStats {
  const targets = [
    target('events', 'kafka', { delivered: 11, attemptsOk: 12, attemptsRetry: 13, attemptsFail: 14 }),
    target('events', 'kafka', { delivered: 100, attemptsOk: 200, attemptsRetry: 300, attemptsFail: 400 }),
    target('orders', 'amqp', { delivered: 15, attemptsOk: 16, attemptsRetry: 17, attemptsFail: 18 }),
  ]
  targets[0]?.blocked.set('kafka://events/away', { code: 'NOT_FOUND', message: 'no such topic', since: 0 })
  const route = new RouteStats('hot', targets, true)
  Object.assign(route, { matched: 21, delivered: 22, filtered: 23, released: 24, duplicates: 25 })
  Object.assign(route, { inFlight: 26, waiting: 27, restored: 28, missingFields: () => 29 })
  route.deadLettered.set('rejected', 3).set('expired', 4)
  route.duration.observeMs(7)
  return route
}

const status: GatewayStatus = {
  id: 'test',
  version: '1.2.3',
  startedAt: 0,
  isDraining: false,
  links: [
    link('devices', 'mqtt', 'source', {
      ...{ state: 'up', received: 31, settled: 32, unmatched: 33, reconnects: 34 },
      extra: new Map([
        ['mqtt_refused_password', 35],
        ['mqtt_sessions', 36],
      ]),
    }),
    link('events', 'kafka', 'sink', { state: 'down', reconnects: 37 }),
  ],
  routes: [hotRoute(), new RouteStats('quiet', [new TargetStats('events', 'kafka')])],
  inFlight: { count: 41, bytes: 42 },
  store: {
    reads: 54,
    ...{ waiting: 43, waitingBytes: 44, oldestAt: undefined, fullBecause: 'full', fileBytes: 45, commits: 46 },
    deadLetters: new Map([['hot', 47]]),
    deadLetterFigures: { bytes: 48, maxBytes: 49, held: 50, dropped: 51, expired: 52 },
  },
  adminRefused: new Map([['token', 53]]),
}

test('a scrape has every series of the gateway, with its help, type and labels', async () => {
  const text = await createMetrics(() => status).metrics()
  const own = text.slice(text.indexOf('# HELP trivium_')).replaceAll(process.versions.node, 'NODE')
  expect(own).toBe(readFileSync(golden, 'utf8'))
})

test('a scrape tells the figures of its own moment', async () => {
  let inFlight = { count: 0, bytes: 1 }
  const registry = createMetrics(() => ({ ...status, inFlight }))
  await registry.metrics()
  inFlight = { count: 0, bytes: 2 }
  expect(await registry.metrics()).toContain('\ntrivium_inflight_bytes 2\n')
})
