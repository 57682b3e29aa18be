/** Requests that no decent client sends, on raw sockets: what is answered, what is kept, and who goes on undisturbed. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from '@jest/globals'
import { type Listening, listening, type Wish } from '../support/contexts/http-listener.ts'
import { eventually } from '../support/poll.ts'

const open: Listening[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(open.splice(0).map(({ running }) => running.kill()))
})

async function listen(connection: object = {}, wish: Wish = {}): Promise<Listening> {
  const listener = await listening({ ...wish, connection })
  open.push(listener)
  return listener
}

/** A connection, what it has received so far, and its end. */
interface Wire {
  readonly socket: Socket
  readonly ended: Promise<unknown>
  text: string
}

async function wireTo({ port }: Listening, ...first: string[]): Promise<Wire> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  sockets.push(socket)
  const ended = new Promise((resolve) => socket.once('close', resolve))
  const wire: Wire = { socket, text: '', ended }
  socket.on('data', (bytes) => {
    wire.text += bytes.toString()
  })
  await once(socket, 'connect')
  for (const text of first) socket.write(text)
  return wire
}

const crlf = (...lines: string[]) => lines.map((line) => `${line}\r\n`).join('')
const head = (...headers: string[]) => crlf('POST /events/x HTTP/1.1', 'Host: localhost', ...headers, '')
const whole = (text: string) => `${head(`Content-Length: ${text.length}`)}${text}`
const isFine = async ({ url }: Listening) => (await fetch(`${url}/events/x`, { method: 'POST', body: 'fine' })).status

describe('a request that could be read in two ways', () => {
  it.each([
    ['a length and chunks', 'Content-Length: 4', 'Transfer-Encoding: chunked'],
    ['two lengths', 'Content-Length: 4', 'Content-Length: 5'],
    ['a list of lengths', 'Content-Length: 4, 4'],
    ['a length with a sign', 'Content-Length: +4'],
    ['chunks twice', 'Transfer-Encoding: chunked, chunked'],
    ['another coding behind chunks', 'Transfer-Encoding: chunked, gzip'],
    ['a folded header', 'X-A: 1', ' Transfer-Encoding: chunked'],
    ['a space before the colon', 'Content-Length : 4'],
    ['a bare carriage return', 'X-A: 1\rTransfer-Encoding: chunked'],
  ])('%s is 400, and nothing behind it is heard', async (_, ...headers) => {
    const listener = await listen()
    const wire = await wireTo(listener, head(...headers), crlf('0', ''), whole('smuggled'))
    await wire.ended
    expect(wire.text).toMatch(/^HTTP\/1\.1 400 /)
    expect(wire.text.match(/HTTP\/1\.1 \d/g)).toHaveLength(1)
    expect(wire.text).not.toMatch(/\bat .*\.(js|ts):/)
    expect(listener.running.texts).toEqual([])
    expect(await isFine(listener)).toBe(200)
  })

  it('gets no answer that could be taken for that of the request before it', async () => {
    const listener = await listen({}, { onBatch: () => {} })
    const wire = await wireTo(listener, whole('first'))
    await listener.running.has(1)
    wire.socket.write(head('Content-Length: 4', 'Transfer-Encoding: chunked'))
    await wire.ended
    expect(wire.text).toBe('')
  })
})

describe('a request that never becomes whole', () => {
  it('in its headers is 408 after their time', async () => {
    const listener = await listen({ headerTimeout: '100ms' })
    const wire = await wireTo(listener, 'POST /events/x HTTP/1.1\r\nHost: localh')
    await wire.ended
    expect(wire.text).toMatch(/^HTTP\/1\.1 408 /)
  })

  it('in its headers, a byte at a time, is 408 too: bytes buy no time', async () => {
    const listener = await listen({ headerTimeout: '300ms' })
    const wire = await wireTo(listener, 'POST /events/x HTTP/1.1\r\nHost: localhost\r\nX-A: ')
    const drip = setInterval(() => wire.socket.write('a'), 20)
    await wire.ended
    clearInterval(drip)
    expect(wire.text).toMatch(/^HTTP\/1\.1 408 /)
  })

  it.each([
    ['half a body', head('Content-Length: 100'), 'half'],
    ['chunks without an end', head('Transfer-Encoding: chunked'), '4\r\nhalf\r\n'],
  ])('%s is 408 after its time, and no message', async (_, start, part) => {
    const listener = await listen({ bodyTimeout: '100ms' })
    const wire = await wireTo(listener, start, part)
    await wire.ended
    expect(wire.text).toMatch(/^HTTP\/1\.1 408 /)
    expect(listener.running.received).toEqual([])
  })

  it.each([
    ['half a body', head('Content-Length: 100'), 'half'],
    ['half a chunk', head('Transfer-Encoding: chunked'), '4\r\nha'],
  ])('%s, and then the end of the connection, is no message', async (_, start, part) => {
    const listener = await listen()
    const wire = await wireTo(listener, start, part)
    wire.socket.end()
    await wire.ended
    expect(await isFine(listener)).toBe(200)
    expect(listener.running.texts).toEqual(['fine'])
  })

  it('in a broken chunk ends, and is no message', async () => {
    const listener = await listen()
    const wire = await wireTo(listener, head('Transfer-Encoding: chunked'), 'zz\r\nhalf')
    await wire.ended
    expect(wire.text).not.toMatch(/ 20\d /)
    expect(listener.running.received).toEqual([])
  })
})

describe('a request beyond its bounds', () => {
  it('of headers is 431', async () => {
    const listener = await listen({ maxHeaderSize: '4KiB' })
    const wire = await wireTo(listener, head(`X-A: ${'a'.repeat(5_000)}`))
    await wire.ended
    expect(wire.text).toMatch(/^HTTP\/1\.1 431 /)
  })

  it('of its body is 413 before the body is asked for', async () => {
    const listener = await listen({ maxBodySize: '1KiB' })
    const wire = await wireTo(listener, head('Content-Length: 5000', 'Expect: 100-continue'))
    await wire.ended
    expect(wire.text).toMatch(/^HTTP\/1\.1 413 /)
  })

  it('within them is asked for its body, where it waits for that', async () => {
    const listener = await listen()
    const wire = await wireTo(listener, head('Content-Length: 4', 'Expect: 100-continue'))
    await eventually(() => wire.text.startsWith('HTTP/1.1 100 Continue'), { what: 'the invitation' })
    wire.socket.write('body')
    await listener.running.has(1)
    expect(listener.running.texts).toEqual(['body'])
  })

  it('with a type, but without a length, is 411', async () => {
    const listener = await listen()
    const wire = await wireTo(listener, head('Content-Type: text/plain'))
    await eventually(() => wire.text.startsWith('HTTP/1.1 411 '), { what: 'the answer' })
  })

  it('of a pipeline: each is answered in its place, and those without room are refused', async () => {
    const listener = await listen({ maxInFlight: 2 }, { onBatch: () => {} })
    const wire = await wireTo(listener, whole('1') + whole('2') + whole('3'))
    await listener.running.has(2)
    for (const delivery of [...listener.running.received].reverse()) delivery.settle('accept')
    const statuses = () => [...wire.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)
    await eventually(() => statuses().length === 3, { what: 'three answers' })
    expect(statuses()).toEqual(['200', '200', '429'])
  })
})

describe('crowds', () => {
  const most = 2_000

  it('of idle connections take nothing from those who send', async () => {
    const listener = await listen({ maxConnections: most + 10 })
    for (let made = 0; made < most; made += 200) {
      await Promise.all(Array.from({ length: 200 }, () => wireTo(listener)))
    }
    for (let sent = 0; sent < 5; sent += 1) expect(await isFine(listener)).toBe(200)
  })

  it('beyond maxConnections are turned away at the door, and counted', async () => {
    const listener = await listen({ maxConnections: 3 })
    await Promise.all(Array.from({ length: 3 }, () => wireTo(listener)))
    const wire = await wireTo(listener, whole('one too many'))
    await wire.ended
    expect([wire.text, listener.context.counts.get('http_connections_refused')]).toEqual(['', 1])
  })

  it('that say nothing are hung up on', async () => {
    const listener = await listen({ headerTimeout: '100ms', idleTimeout: '100ms' })
    const silent = await wireTo(listener)
    const idle = await wireTo(listener, whole('one'))
    await Promise.all([silent.ended, idle.ended])
    expect(idle.text).toMatch(/^HTTP\/1\.1 200 /)
  })
})
