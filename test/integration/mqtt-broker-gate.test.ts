import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from '@jest/globals'
import { connectAsync } from 'mqtt'
import { WebSocket } from 'ws'
import { certificate, cleanUp, device, inbox, packets, place, raw } from '../support/contexts/mqtt-broker.ts'
import { eventually } from '../support/poll.ts'
import { freePort, freePorts } from '../support/ports.ts'

afterEach(cleanUp)

const connackOk = Buffer.from([0x20, 2, 0, 0])
const accept = () => 'accept' as const

async function busyPlace(settings: Parameters<typeof place>[0] = {}) {
  const at = await place(settings)
  const source = await at.source(['s/#'], accept)
  return { ...at, opened: source }
}

describe('embedded broker, gate', () => {
  test('MQTT 5 is refused with 0x84 in MQTT 5, and a client may come again with 3.1.1', async () => {
    const at = await busyPlace()
    const five = await raw(at.port)
    five.send(packets.connect({ version: 5 }))
    expect(await five.receive(5)).toEqual(Buffer.from([0x20, 3, 0, 0x84, 0]))
    await five.closed()
    const options = { protocolVersion: 5, reconnectPeriod: 0 } as const
    await expect(connectAsync(at.url, options, false)).rejects.toMatchObject({ code: 0x84 })
    await at.device()
  })

  test('an unknown version is refused with return code 1, MQTT 3.1 is let in', async () => {
    const at = await busyPlace()
    const odd = await raw(at.port)
    odd.send(packets.connect({ version: 6 }))
    expect(await odd.receive(4)).toEqual(Buffer.from([0x20, 2, 0, 1]))
    await odd.closed()
    await at.device({ protocolVersion: 3, protocolId: 'MQIsdp', clientId: 'three' })
  })

  test.each([
    ['256 MB before CONNECT', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4])],
    ['a length of five bytes', Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x7f])],
    ['a PUBLISH as first packet', packets.publish('s/a', 'x')],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a CONNECT that is cut short', Buffer.concat([packets.connect().subarray(0, 12), Buffer.alloc(40, 0xff)])],
  ])('%s closes the connection', async (_name, bytes) => {
    const at = await busyPlace({ connectTimeout: 500 })
    const hostile = await raw(at.port)
    hostile.send(bytes)
    await hostile.closed()
    expect(hostile.bytes()).toHaveLength(0)
    await at.device()
  })

  test.each([
    ['256 MB', Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])],
    ['one byte too many', packets.publish('s/a', Buffer.alloc(1024 ** 2 - 4))],
    ['a second CONNECT', packets.connect()],
    ['a packet type that is none', Buffer.from([0xf0, 0])],
    ['a packet only a broker sends', Buffer.from([0x20, 2, 0, 0])],
    ['a SUBSCRIBE with wrong flags', Buffer.from([0x80, 6, 0, 1, 0, 1, 0x61, 0])],
    ['a SUBSCRIBE without a filter', Buffer.from([0x82, 2, 0, 1])],
    ['a topic of 10,000 levels', packets.publish(Array(10_000).fill('a').join('/'), 'x')],
    ['a topic with one level too many', packets.publish(Array(33).fill('a').join('/'), 'x')],
    ['an empty topic', packets.publish('', 'x')],
    ['a topic with NUL', packets.publish('s/\0', 'x', 1)],
    ['a topic that is no UTF-8', packets.publish(Buffer.from([0x73, 0x2f, 0xc3, 0x28]), 'x')],
    ['a topic with +', packets.publish('s/+', 'x')],
    ['a topic with #', packets.publish('s/#', 'x')],
    ['a topic of the broker', packets.publish('$SYS/x', 'x')],
    ['QoS 3', packets.publish('s/a', 'x', 0, 1, 6)],
  ])('after CONNECT, %s closes the connection and touches nobody else', async (_name, bytes) => {
    const at = await busyPlace()
    const other = await at.device()
    const hostile = await raw(at.port)
    hostile.send(packets.connect())
    expect(await hostile.receive(4)).toEqual(connackOk)
    hostile.send(bytes)
    await hostile.closed()
    expect(hostile.bytes()).toHaveLength(4)
    expect(at.opened.received).toHaveLength(0)
    await other.publishAsync('s/a', 'still here', { qos: 1 })
    expect(at.opened.texts).toEqual(['still here'])
  })

  test('a packet of exactly maxPacketSize passes, in pieces of one byte too', async () => {
    const at = await busyPlace({ maxPacketSize: 1024 })
    const slow = await raw(at.port)
    slow.send(packets.connect())
    await slow.receive(4)
    const packet = packets.publish('s/a', Buffer.alloc(1024 - 7, 'x'), 1, 1)
    slow.socket.setNoDelay(true)
    for (const byte of packet) slow.socket.write(Buffer.from([byte]))
    await slow.receive(8)
    expect(at.opened.texts).toEqual(['x'.repeat(1017)])
  })

  test('who connects and says nothing is closed after connectTimeout, on every listener', async () => {
    const ports = await freePorts(4)
    const listen = ['mqtt', 'mqtts', 'ws', 'wss'].map((scheme, i) => `${scheme}://127.0.0.1:${ports[i]}`)
    const at = await busyPlace({ listen, tls: certificate(), connectTimeout: 300 })
    const silent = await Promise.all(ports.map(raw))
    await Promise.all(silent.map((one) => one.closed()))
    await eventually(() => at.shared.current?.connections === 0, { what: 'no connection left' })
  })

  test('connections beyond maxConnections are closed at once', async () => {
    const at = await busyPlace({ maxConnections: 2 })
    const first = await at.device()
    await at.device()
    await (await raw(at.port)).closed()
    expect(at.context.counts.get('mqtt_refused_connections')).toBe(1)
    await first.endAsync()
    await eventually(() => at.shared.current?.connections === 1, { what: 'room' })
    await at.device()
  })

  test('100 sockets that announce 256 MB are refused, and memory stays', async () => {
    const at = await busyPlace()
    const before = process.memoryUsage().rss
    const hostile = await Promise.all(Array.from({ length: 100 }, () => raw(at.port)))
    for (const one of hostile) one.send(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]), randomBytes(1024))
    await Promise.all(hostile.map((one) => one.closed()))
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 ** 2)
    await at.device()
  })

  test('a silent device is closed after one and a half keep-alives, one that pings is not', async () => {
    const at = await busyPlace()
    const lively = await at.device({ keepalive: 1 })
    const silent = await raw(at.port)
    silent.send(packets.connect({ keepalive: 1 }))
    await silent.receive(4)
    await silent.closed(6_000)
    expect(lively.connected).toBe(true)
  })

  test('500 devices that send garbage hurt nobody', async () => {
    const at = await busyPlace()
    const other = await at.device()
    for (let i = 0; i < 500; i += 1) {
      const hostile = await raw(at.port)
      if (i % 2 === 0) hostile.send(packets.connect())
      hostile.send(randomBytes(1 + (i % 300)))
      hostile.socket.end()
    }
    await eventually(() => at.shared.current?.connections === 1, { what: 'the others gone' })
    await other.publishAsync('s/a', 'still here', { qos: 1 })
    expect(at.context.lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('what is sent along with CONNECT is not lost', async () => {
    const at = await busyPlace()
    const hasty = await raw(at.port)
    const publishes = Array.from({ length: 50 }, (_, i) => packets.publish('s/a', String(i), 1, i + 1))
    hasty.send(packets.connect(), ...publishes)
    await hasty.receive(4 + 50 * 4)
    expect(at.opened.texts).toEqual(Array.from({ length: 50 }, (_, i) => String(i)))
  })
})

describe('embedded broker, listeners', () => {
  test('tcp, tls, ws and wss carry messages to one broker', async () => {
    const ports = await freePorts(4)
    const urls = ['mqtt', 'mqtts', 'ws', 'wss'].map((scheme, i) => `${scheme}://127.0.0.1:${ports[i]}`)
    const at = await busyPlace({ listen: urls, tls: certificate() })
    const devices = await Promise.all(urls.map((url) => device(url, { rejectUnauthorized: false })))
    const inboxes = devices.map(inbox)
    await Promise.all(devices.map((one) => one.subscribeAsync('s/#', { qos: 1 })))
    const body = Buffer.alloc(200_000, 'x')
    for (const [i, one] of devices.entries()) await one.publishAsync(`s/${i}`, body, { qos: 1 })
    await eventually(() => inboxes.every((messages) => messages.length === 4), { what: 'all messages at all devices' })
    expect(at.opened.received.map(({ address }) => address)).toEqual(['s/0', 's/1', 's/2', 's/3'])
  })

  test('with tls.ca a device without a certificate is refused', async () => {
    const files = certificate()
    const port = await freePort()
    await busyPlace({ listen: `mqtts://127.0.0.1:${port}`, tls: { ...files, ca: files.cert } })
    const url = `mqtts://127.0.0.1:${port}`
    await expect(device(url, { rejectUnauthorized: false })).rejects.toThrow()
    const { readFileSync } = await import('node:fs')
    await device(url, { rejectUnauthorized: false, cert: readFileSync(files.cert), key: readFileSync(files.key) })
  })

  test('a websocket passes the same gate, and may not send a megabyte before CONNECT', async () => {
    const port = await freePort()
    await busyPlace({ listen: `ws://127.0.0.1:${port}` })
    const frames = [Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]), Buffer.alloc(1024 ** 2, 0x10)]
    for (const frame of frames) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}`, 'mqtt')
      socket.on('error', () => {})
      socket.on('open', () => socket.send(frame))
      await eventually(() => socket.readyState === WebSocket.CLOSED, { what: 'the end of the websocket' })
    }
    const text = new WebSocket(`ws://127.0.0.1:${port}`, 'mqtt')
    text.on('error', () => {})
    text.on('open', () => text.send('hello'))
    await eventually(() => text.readyState === WebSocket.CLOSED, { what: 'the end of the websocket' })
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(426)
    await device(`ws://127.0.0.1:${port}`)
  })

  test('a port in use is a permanent error that names it, and nothing stays open', async () => {
    const first = await place()
    await first.sink()
    const free = await freePort()
    const second = await place({ listen: [`mqtt://127.0.0.1:${free}`, first.url] })
    const failure = { code: 'PORT_IN_USE', retryable: false, message: expect.stringContaining(first.url) }
    await expect(second.sink()).rejects.toMatchObject(failure)
    const third = await place({ listen: `mqtt://127.0.0.1:${free}` })
    await third.sink()
  })

  test.each([
    [{ cert: '/nonexistent/cert.pem', key: '/nonexistent/key.pem' }, 'FILE_MISSING'],
    [undefined, 'CONFIG_INVALID'],
  ])('tls settings %j are a permanent error', async (tls, code) => {
    const at = await place({ listen: 'mqtts://127.0.0.1:0', tls })
    await expect(at.sink()).rejects.toMatchObject({ code, retryable: false })
  })

  test('two brokers run side by side', async () => {
    const [left, right] = [await busyPlace(), await busyPlace()]
    const [one, two] = [await left.device({ clientId: 'same' }), await right.device({ clientId: 'same' })]
    await one.publishAsync('s/left', 'l', { qos: 1 })
    await two.publishAsync('s/right', 'r', { qos: 1 })
    expect([left.opened.texts, right.opened.texts]).toEqual([['l'], ['r']])
  })

  test('source and sink share a broker, which lives until the last closes and starts again', async () => {
    const at = await place()
    const sink = await at.sink()
    const source = await at.source(['s'], accept)
    await source.stop()
    await sink.close()
    const client = await at.device()
    await client.endAsync()
    await cleanUp()
    expect(at.shared.current).toBeUndefined()
    await at.sink()
    await at.device()
  })
})
