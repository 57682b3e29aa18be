/** The proxy that the fault tests trust: each of its faults does what it says, and heals. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { startProxy, type TcpProxy } from '../support/brokers/proxy.ts'
import { eventually } from '../support/poll.ts'

/** A server that sends back what it gets. */
let echo: Server
let proxy: TcpProxy
let atServer: Set<Socket>

beforeEach(async () => {
  atServer = new Set()
  echo = createServer((socket) => {
    atServer.add(socket)
    socket.on('error', () => {}).on('close', () => atServer.delete(socket))
    socket.pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  proxy = await startProxy((echo.address() as AddressInfo).port)
})

afterEach(async () => {
  await proxy.close()
  for (const socket of atServer) socket.destroy()
  echo.close()
})

class Client {
  readonly socket: Socket = connect(proxy.port, '127.0.0.1')
  readonly parts: Buffer[] = []
  closedWith: string | undefined

  constructor() {
    this.socket.on('data', (bytes) => this.parts.push(bytes))
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.closedWith = error.code
    })
    this.socket.on('close', () => {
      this.closedWith ??= 'end'
    })
  }

  get received(): Buffer {
    return Buffer.concat(this.parts)
  }

  gets(bytes: number): Promise<unknown> {
    return eventually(() => this.received.length >= bytes, { what: `${bytes} bytes back` })
  }

  closes(): Promise<unknown> {
    return eventually(() => this.closedWith !== undefined, { what: 'the end of the connection' })
  }
}

async function connected(): Promise<Client> {
  const client = new Client()
  client.socket.write('hello')
  await client.gets(5)
  return client
}

const large = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251))

test('fair weather lets everything pass, unchanged, and ends', async () => {
  const client = await connected()
  client.socket.write(large)
  await client.gets(5 + large.length)
  expect(client.received.subarray(5).equals(large)).toBe(true)
  client.socket.end()
  await client.closes()
  expect(client.closedWith).toBe('end')
})

test('cut resets, and refuses until it is restored', async () => {
  const client = await connected()
  proxy.cut()
  await client.closes()
  const refused = new Client()
  await refused.closes()
  expect([client.closedWith, refused.closedWith]).toEqual(['ECONNRESET', 'ECONNRESET'])
  proxy.restore()
  await connected()
})

test('reset breaks what is there, once', async () => {
  const client = await connected()
  proxy.reset()
  await client.closes()
  expect(client.closedWith).toBe('ECONNRESET')
  await connected()
})

test('a black hole holds everything back, and lets it flow when it is restored', async () => {
  const client = await connected()
  proxy.blackhole()
  client.socket.write(large)
  const late = new Client()
  late.socket.write('late')
  await once(late.socket, 'connect')
  const other = await startProxy((echo.address() as AddressInfo).port) // as much time as a round trip takes
  await other.close()
  expect([client.received.length, late.received.length]).toEqual([5, 0])
  proxy.restore()
  await client.gets(5 + large.length)
  await late.gets(4)
  expect(client.received.subarray(5).equals(large)).toBe(true)
})

test('latency delays both ways and keeps the order', async () => {
  const client = await connected()
  proxy.latency(60, 40)
  const startedAt = performance.now()
  for (let at = 0; at < 100; at += 1) client.socket.write(large.subarray(at * 10, at * 10 + 10))
  await client.gets(1_005)
  expect(performance.now() - startedAt).toBeGreaterThan(115)
  expect(client.received.subarray(5).equals(large.subarray(0, 1_000))).toBe(true)
})

test('slow bytes come in small pieces, all of them', async () => {
  const client = await connected()
  proxy.slow(16)
  client.parts.length = 0
  client.socket.write(large.subarray(0, 4_000))
  await client.gets(4_000)
  expect(client.parts.length).toBeGreaterThan(40)
  expect(client.received.equals(large.subarray(0, 4_000))).toBe(true)
})

test('a limit breaks each connection off after so many bytes', async () => {
  const client = await connected()
  proxy.limit(1_000)
  client.socket.write(large)
  await client.closes()
  expect(client.received.length).toBeLessThanOrEqual(1_000)
  await connected()
})

test('a half-open connection loses its broker and is not told', async () => {
  const client = await connected()
  proxy.halfOpen()
  await eventually(() => atServer.size === 0, { what: 'the broker sees the end' })
  client.socket.write(large)
  await connected()
  expect(client.closedWith).toBeUndefined()
  expect(client.received.length).toBe(5)
})
