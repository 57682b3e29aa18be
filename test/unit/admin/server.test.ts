import { afterEach, expect, test } from '@jest/globals'
import { AdminServer } from '../../../src/admin/server.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { LinkStats, RouteStats, TargetStats } from '../../../src/telemetry/stats.ts'
import type { GatewayStatus } from '../../../src/telemetry/status.ts'

const link = new LinkStats('devices', 'mqtt', 'source')
const route = new RouteStats('hot', [new TargetStats('events', 'kafka'), new TargetStats('events', 'kafka')])
const status: GatewayStatus = {
  id: 'test',
  version: '0.0.0',
  startedAt: 0,
  isDraining: false,
  links: [link],
  routes: [route],
  inFlight: { count: 1, bytes: 2 },
  store: {
    ...{ waiting: 3, waitingBytes: 4_000, oldestAt: 0, fullBecause: undefined, deadLetters: new Map([['hot', 2]]) },
    ...{ fileBytes: 4_096, commits: 5 },
  },
}

const registry = createMetrics(() => status)
const metrics = async () => registry

const servers: AdminServer[] = []
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())))

async function listening(token?: string): Promise<string> {
  const server = new AdminServer({ host: '127.0.0.1', port: 0, token }, () => status, metrics)
  servers.push(server)
  return server.listen()
}

test('livez answers while nothing is connected', async () => {
  const url = await listening()
  expect((await fetch(`${url}/livez`)).status).toBe(200)
})

test('readyz names the connection that is away, and why', async () => {
  const url = await listening()
  link.state = 'down'
  link.error = 'connect ECONNREFUSED'
  const away = await fetch(`${url}/readyz`)
  expect(away.status).toBe(503)
  expect(await away.json()).toEqual({
    status: 'not ready',
    waitingFor: [{ connection: 'devices', role: 'source', reason: 'connect ECONNREFUSED' }],
    ...{ away: [], stored: [] },
  })
  link.state = 'up'
  expect((await fetch(`${url}/readyz`)).status).toBe(200)
})

test('readyz stays ready while a target is away whose messages wait in the store, and says what waits', async () => {
  const sink = new LinkStats('events', 'kafka', 'sink')
  sink.state = 'down'
  sink.error = 'connect ECONNREFUSED'
  const kept = new RouteStats('kept', [new TargetStats('events', 'kafka')], true)
  kept.waiting = 3
  const routes = [kept]
  const shown: GatewayStatus = { ...status, links: [link, sink], routes }
  const server = new AdminServer({ host: '127.0.0.1', port: 0, token: undefined }, () => shown, metrics)
  servers.push(server)
  const url = await server.listen()
  const response = await fetch(`${url}/readyz`)
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({
    ...{ status: 'ready', waitingFor: [], stored: [{ route: 'kept', messages: 3 }] },
    away: [{ connection: 'events', role: 'sink', reason: 'connect ECONNREFUSED' }],
  })
  routes[0] = route
  expect((await fetch(`${url}/readyz`)).status).toBe(503)
})

test('metrics show counters, the sum over targets of one endpoint, and durations', async () => {
  const url = await listening()
  link.received = 7
  link.extra.set('client_refused', 2)
  route.matched = 5
  route.filtered = 3
  route.deadLettered.set('expired', 1)
  for (const target of route.targets) target.delivered = 4
  route.duration.observeMs(20, 2)
  const text = await (await fetch(`${url}/metrics`)).text()
  for (const line of [
    'trivium_messages_received_total{endpoint="devices",protocol="mqtt"} 7',
    'trivium_messages_matched_total{route="hot"} 5',
    'trivium_messages_routed_total{route="hot",result="filtered"} 3',
    'trivium_messages_dropped_total{route="hot",reason="filtered"} 3',
    'trivium_messages_dead_lettered_total{route="hot",reason="expired"} 1',
    'trivium_messages_delivered_total{route="hot",endpoint="events",protocol="kafka"} 8',
    'trivium_endpoint_up{endpoint="devices",protocol="mqtt",role="source"} 1',
    'trivium_endpoint_events_total{endpoint="devices",protocol="mqtt",role="source",event="client_refused"} 2',
    'trivium_end_to_end_duration_seconds_bucket{route="hot",le="0.01"} 0',
    'trivium_end_to_end_duration_seconds_bucket{route="hot",le="0.025"} 2',
    'trivium_end_to_end_duration_seconds_bucket{route="hot",le="+Inf"} 2',
    'trivium_end_to_end_duration_seconds_count{route="hot"} 2',
    'trivium_build_info{version="0.0.0"',
    'process_cpu_seconds_total',
  ]) {
    expect(text).toContain(line)
  }
  expect(await (await fetch(`${url}/metrics`)).text()).toContain(
    'trivium_messages_received_total{endpoint="devices",protocol="mqtt"} 7',
  )
})

test('the pages under /api/v1 show counts', async () => {
  const url = await listening()
  const routes = (await (await fetch(`${url}/api/v1/routes`)).json()) as { routes: unknown[] }
  expect(routes.routes).toEqual([
    expect.objectContaining({ name: 'hot', matched: 5, deadLetterReasons: { expired: 1 } }),
  ])
  const connections = await (await fetch(`${url}/api/v1/connections`)).json()
  expect(connections).toMatchObject({ connections: [{ name: 'devices', role: 'source', state: 'up', received: 7 }] })
})

test('a token guards everything but the probes', async () => {
  const url = await listening('s3cret')
  for (const page of ['/metrics', '/api/v1/routes', '/api/v1/connections', '/nonsense']) {
    expect((await fetch(url + page)).status).toBe(401)
    expect((await fetch(url + page, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401)
  }
  expect((await fetch(`${url}/metrics`, { headers: { authorization: 'Bearer s3cret' } })).status).toBe(200)
  expect((await fetch(`${url}/livez`)).status).toBe(200)
})

test('a foreign name for the loopback address is refused', async () => {
  const url = await listening()
  const { request } = await import('node:http')
  const answer = await new Promise<number | undefined>((resolve) => {
    request(`${url}/readyz`, { headers: { host: 'evil.example' } }, (response) => resolve(response.statusCode)).end()
  })
  expect(answer).toBe(421)
})

test('a port in use is named', async () => {
  const url = await listening()
  const port = Number(new URL(url).port)
  const second = new AdminServer({ host: '127.0.0.1', port, token: undefined }, () => status, metrics)
  await expect(second.listen()).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: expect.stringContaining(String(port)),
  })
})
