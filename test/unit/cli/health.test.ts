import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { freePort } from '../../support/ports.ts'
import { registerCleanups } from './cleanups.ts'
import { trivium } from './command.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()

/** An admin server that answers as told; resolves with its port and the paths it was asked for. */
async function adminServer(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    answer(request, response)
  }).listen(0, '127.0.0.1')
  afterwards(() => {
    server.close()
    server.closeAllConnections()
  })
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, asked }
}

test('0 when it is ready; --live asks whether it is alive', async () => {
  const { port, asked } = await adminServer((_request, response) => response.end('{}'))
  const url = `http://127.0.0.1:${port}`
  expect(await trivium(['health', '--url', url])).toMatchObject({ code: 0, stdout: 'ready\n', stderr: '' })
  expect(await trivium(['health', '--live', '--url', url])).toMatchObject({ code: 0, stdout: 'alive\n' })
  expect(asked).toEqual(['/readyz', '/livez'])
})

test('ready, it tells what is away, what is blocked and how much waits', async () => {
  const away = [{ connection: 'events', role: 'sink', reason: 'connect ECONNREFUSED' }]
  const stored = [
    { route: 'a', messages: 499 },
    { route: 'b', messages: 1 },
  ]
  const blocked = [{ route: 'a', connection: 'orders', code: 'NOT_FOUND' }]
  const { port } = await adminServer((_request, response) => response.end(JSON.stringify({ away, stored, blocked })))
  const { code, stdout } = await trivium(['health', '--url', `http://127.0.0.1:${port}`])
  const told = 'ready; away: events; blocked: orders (NOT_FOUND); 500 messages in the store\n'
  expect({ code, stdout }).toEqual({ code: 0, stdout: told })
})

test('1 when it is not ready, with what it waits for', async () => {
  const { port } = await adminServer((_request, response) => response.writeHead(503).end('{"waitingFor":["events"]}'))
  const { code, stderr } = await trivium(['health', '--url', `http://127.0.0.1:${port}`])
  expect(code).toBe(1)
  expect(stderr).toContain('answered 503: {"waitingFor":["events"]}')
})

test('not ready, it tells what is waited for and why, in one line', async () => {
  const waitingFor = [
    { connection: 'events', role: 'source', reason: 'topic commands does not exist' },
    { connection: 'plant', role: 'sink', reason: 'connect ECONNREFUSED' },
    { connection: '*', role: 'store', reason: 'full: maxBytes' },
  ]
  const body = JSON.stringify({ status: 'not ready', waitingFor, away: [], stored: [], blocked: [] })
  const { port } = await adminServer((_request, response) => response.writeHead(503).end(body))
  const { code, stderr } = await trivium(['health', '--url', `http://127.0.0.1:${port}`])
  const told =
    'not ready; events as source: topic commands does not exist; plant as sink: connect ECONNREFUSED; store: full: maxBytes'
  expect({ code, stderr }).toEqual({ code: 1, stderr: `trivium: ${told}\n` })
})

test('1 when nobody listens, and 1 when nobody answers in time', async () => {
  const port = await freePort()
  const closed = await trivium(['health', '--url', `http://127.0.0.1:${port}`])
  expect(closed).toMatchObject({ code: 1, stderr: expect.stringMatching(/does not answer: .*ECONNREFUSED/) })
  const silent = await adminServer(() => {})
  const late = await trivium(['health', '--url', `http://127.0.0.1:${silent.port}`])
  expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining('does not answer') })
})

test('without --url it asks where the environment says, else where the configuration does', async () => {
  const identity: Record<string, string> = { id: 'trivium' }
  const { port, asked } = await adminServer((_request, response) => response.end(JSON.stringify(identity)))
  const env = { TRIVIUM_ADMIN_LISTEN: `0.0.0.0:${port}` }
  expect(await trivium(['health'], { env })).toMatchObject({ code: 0 })
  const folder = folderWith({
    'on.yaml': `gateway: { admin: { listen: "0.0.0.0:${port}", token: "\${env:NO_SUCH:-t}" } }\nconnections: {}\nroutes: []\n`,
    'off.yaml': 'gateway: { admin: false }\nconnections: {}\nroutes: []\n',
  })
  afterwards(folder.remove)
  identity.dataDir = join(realpathSync(folder.path), 'data')
  expect(await trivium(['health', '-c', 'on.yaml'], { cwd: folder.path })).toMatchObject({ code: 0 })
  expect(asked).toEqual(['/readyz', '/readyz', '/api/v1/gateway?'])
  expect(await trivium(['health', 'on.yaml'], { cwd: folder.path })).toMatchObject({ code: 0, stdout: 'ready\n' })
  const off = await trivium(['health', '-c', 'off.yaml'], { cwd: folder.path })
  expect(off).toMatchObject({ code: 64, stderr: expect.stringContaining('the admin server is off') })
})
