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
    ...{ fileBytes: 4_096, commits: 5, reads: 6 },
    deadLetterFigures: { bytes: 100, maxBytes: 1_000, held: 0, dropped: 0, expired: 0 },
  },
}

const registry = createMetrics(() => status)
const metrics = async () => registry

const local = { host: '127.0.0.1', port: 0, token: undefined, identity: { id: 'test', dataDir: '/srv/data' } }
const servers: AdminServer[] = []
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())))

async function listening(token?: string): Promise<string> {
  const server = new AdminServer({ ...local, token }, () => status, metrics)
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
    ...{ away: [], stored: [], blocked: [] },
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
  const server = new AdminServer(local, () => shown, metrics)
  servers.push(server)
  const url = await server.listen()
  const response = await fetch(`${url}/readyz`)
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({
    ...{ status: 'ready', waitingFor: [], stored: [{ route: 'kept', messages: 3 }], blocked: [] },
    away: [{ connection: 'events', role: 'sink', reason: 'connect ECONNREFUSED' }],
  })
  routes[0] = route
  expect((await fetch(`${url}/readyz`)).status).toBe(503)
})

test('a destination that takes nothing for now is named by readyz, the routes and the metrics', async () => {
  const target = new TargetStats('events', 'kafka')
  const since = Date.UTC(2026, 10, 26)
  for (const topic of ['a', 'b'])
    target.blocked.set(`kafka://events/${topic}`, {
      code: 'NOT_FOUND',
      message: `topic ${topic} does not exist`,
      since,
    })
  const shown: GatewayStatus = { ...status, links: [], routes: [new RouteStats('hot', [target], true)] }
  const server = new AdminServer(
    local,
    () => shown,
    async () => createMetrics(() => shown),
  )
  servers.push(server)
  const url = await server.listen()
  const ask = async (path: string) => (await fetch(url + path)).text()
  expect(JSON.parse(await ask('/readyz'))).toMatchObject({
    status: 'ready',
    blocked: [{ route: 'hot', connection: 'events', code: 'NOT_FOUND' }],
  })
  const { routes } = JSON.parse(await ask('/api/v1/routes'))
  expect(routes[0].targets[0].blocked[0]).toEqual({
    ...{ address: 'kafka://events/a', code: 'NOT_FOUND', message: 'topic a does not exist' },
    since: '2026-11-26T00:00:00.000Z',
  })
  expect(await ask('/metrics')).toContain('trivium_target_blocked{route="hot",endpoint="events"} 2')
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
    expect.objectContaining({
      ...{ name: 'hot', matched: 5, deadLetterReasons: { expired: 1 } },
      targets: [0, 1].map((target) => expect.objectContaining({ target, connection: 'events' })),
    }),
  ])
  const connections = await (await fetch(`${url}/api/v1/connections`)).json()
  expect(connections).toMatchObject({ connections: [{ name: 'devices', role: 'source', state: 'up', received: 7 }] })
})

test('a token guards everything but the probes', async () => {
  const url = await listening('s3cret')
  for (const page of ['/metrics', '/api/v1/gateway', '/api/v1/routes', '/api/v1/connections', '/nonsense']) {
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
  const second = new AdminServer({ ...local, port }, () => status, metrics)
  await expect(second.listen()).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: `the admin server cannot listen on 127.0.0.1:${port}: another process uses this port; change it with gateway.admin.listen or TRIVIUM_ADMIN_LISTEN`,
  })
})

test.each([
  ['192.0.2.1', 'EADDRNOTAVAIL'],
  ['no-such-host.invalid', 'no-such-host.invalid'],
])('an address this machine has not is no port in use: %s', async (host, text) => {
  const server = new AdminServer({ ...local, host }, () => status, metrics)
  const code = expect.stringMatching(/^(CONFIG_INVALID|PEER_UNREACHABLE)$/) // without a network no name is known to be wrong
  await expect(server.listen()).rejects.toMatchObject({ code, message: expect.stringContaining(text) })
})

test('which gateway it is, by its name and its data directory, is told to those who show the token', async () => {
  const url = await listening('s3cret')
  expect((await fetch(`${url}/api/v1/gateway`)).status).toBe(401)
  const answer = await fetch(`${url}/api/v1/gateway`, { headers: { authorization: 'Bearer s3cret' } })
  expect(await answer.json()).toEqual({ id: 'test', dataDir: '/srv/data', version: '0.0.0' })
})

test('the root tells what is there, to those who may know', async () => {
  const url = await listening('sesame')
  expect((await fetch(url)).status).toBe(401)
  const answer = await fetch(url, { headers: { authorization: 'Bearer sesame' } })
  expect(answer.status).toBe(200)
  const { pages, ...about } = (await answer.json()) as { pages: string[] }
  expect(about).toEqual({ id: 'test', version: '0.0.0' })
  expect(pages).toContain('/readyz')
})

test('each page that the root names is there', async () => {
  const url = await listening()
  const { pages } = (await (await fetch(url)).json()) as { pages: string[] }
  const shared = pages.filter((page) => page !== '/api/v1/dead-letters') // this server has no workbench
  const answers = await Promise.all(shared.map(async (page) => (await fetch(url + page)).status))
  expect(answers).not.toContain(404)
})
