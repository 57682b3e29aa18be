/** Crowds at the door of the embedded broker: connections, guessed passwords, pages of browsers, renewed certificates. */
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { MqttClient } from 'mqtt'
import { WebSocket } from 'ws'
import { Authority, type Pair } from '../support/brokers/certificates.ts'
import { cleanUp, device, later, packets, place, raw } from '../support/contexts/mqtt-broker.ts'
import { Installation } from '../support/gateway/delivery-program.ts'
import { Scope } from '../support/gateway/scenario.ts'
import { eventually } from '../support/poll.ts'
import { freePort, freePorts } from '../support/ports.ts'

const scope = new Scope()
afterEach(async () => {
  await cleanUp()
  await scope.end()
})

const accept = () => 'accept' as const

/** A socket from another address of this machine. */
async function from(localAddress: string, port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress })
  later(() => socket.destroy())
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

describe('embedded broker, connections', () => {
  test('maxConnectionsPerAddress bounds one address, before and after CONNECT, and no other', async () => {
    const at = await place({ maxConnectionsPerAddress: 3 })
    await at.sink()
    const first = await at.device()
    const idle = [await raw(at.port), await raw(at.port)]
    await (await raw(at.port)).closed()
    expect(idle.some(({ socket }) => socket.closed)).toBe(false)
    expect(at.context.counts.get('mqtt_refused_address')).toBe(1)
    const reason = 'maxConnectionsPerAddress is reached'
    expect(at.context.lines).toContainEqual(expect.objectContaining({ fields: { reason, address: '127.0.0.1' } }))
    const other = await from('127.0.0.2', at.port)
    other.write(packets.connect())
    expect(await once(other, 'data')).toEqual([Buffer.from([0x20, 2, 0, 0])])
    await first.endAsync()
    await eventually(() => at.shared.current?.connections === 3, { what: 'room' })
    await at.device()
  })

  test('where all seats are taken who is silent before CONNECT loses his, the longest silent first', async () => {
    const at = await place({ maxConnections: 3 })
    await at.sink()
    const device = await at.device()
    const [first, second] = [await raw(at.port), await raw(at.port)]
    await at.device()
    await first.closed()
    expect([second.socket.closed, device.connected]).toEqual([false, true])
    await at.device()
    await second.closed()
    await (await raw(at.port)).closed()
    expect([device.connected, at.shared.current?.connections]).toEqual([true, 3])
    expect(at.context.counts.get('mqtt_refused_connections')).toBe(3)
  })

  test('with few open files 1,500 idle sockets keep out neither a device nor the admin server', async () => {
    const [admin, port] = (await freePorts(2)) as [number, number]
    const yaml = [
      `gateway: { admin: { listen: 127.0.0.1:${admin} } }`,
      `connections: { d: { protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" } }`,
      'routes: [{ name: r, from: { connection: d, topic: a }, to: [{ connection: d, topic: b }] }]',
    ]
    const program = await new Installation(scope, admin, `${yaml.join('\n')}\n`).run({ openFiles: 256 })
    expect(program.log.join('\n')).toMatch(/maxConnections is above what the limit of open files allows/)
    const known = await device(`mqtt://127.0.0.1:${port}`, { keepalive: 1 })
    const sockets = Array.from({ length: 1_500 }, () => net.connect(port, '127.0.0.1'))
    later(() => sockets.forEach((socket) => void socket.destroy()))
    for (const socket of sockets) socket.on('error', () => {})
    await eventually(() => sockets.filter(({ closed }) => closed).length >= 1_300, { what: 'the refusals' })
    expect((await fetch(`http://127.0.0.1:${admin}/livez`)).status).toBe(200)
    await (await device(`mqtt://127.0.0.1:${port}`)).publishAsync('x', 'x', { qos: 1 })
    await known.publishAsync('x', 'x', { qos: 1 })
    const metrics = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text()
    const count = /^trivium_endpoint_connections_refused_total\{[^}]*reason="files"[^}]*\} (\d+)/m.exec(metrics)?.[1]
    expect(Number(count)).toBeGreaterThanOrEqual(1_300)
  })
})

describe('embedded broker, guessed passwords', () => {
  const users = [
    { username: 'sensor', password: 'one' },
    { username: 'other', password: 'two' },
  ]
  const sensor = { username: 'sensor', password: 'one', clientId: 'honest' }

  /** Guesses without end, from the addresses given in turn; what CONNACK answered. */
  function guess(port: number, addresses: readonly string[], count: number): number[] {
    const codes: number[] = []
    for (let i = 0; i < count; i += 1) {
      const socket = net.connect({ port, host: '127.0.0.1', localAddress: addresses[i % addresses.length] ?? '' })
      later(() => socket.destroy())
      socket.on('error', () => {})
      socket.on('data', (bytes: Buffer) => codes.push(bytes[3] ?? -1))
      socket.write(packets.connect({ clientId: `guess-${i}`, username: 'sensor', password: `${i}` }))
    }
    return codes
  }
  const of = (codes: readonly number[], code: number) => codes.filter((each) => each === code).length

  test('guessers behind one address keep out neither a device that was there before nor another user', async () => {
    const at = await place({ users })
    await at.sink()
    await (await at.device(sensor)).endAsync()
    await (await at.device({ username: 'other', password: 'two' })).endAsync()
    const codes = guess(at.port, ['127.0.0.1'], 100)
    await eventually(() => of(codes, 5) >= 75, { what: 'refusals unread' })
    await at.device(sensor)
    await at.device({ username: 'other', password: 'two', clientId: 'new' })
    await expect(at.device({ ...sensor, clientId: 'new' })).rejects.toMatchObject({ code: 5 })
  })

  test('150 addresses are slowed down together, and a device that was there before is not', async () => {
    const at = await place({ users })
    await at.sink()
    await (await at.device(sensor)).endAsync()
    const addresses = Array.from({ length: 150 }, (_, i) => `127.0.1.${i + 1}`)
    const codes = guess(at.port, addresses, 300)
    await eventually(() => of(codes, 5) >= 240, { what: 'refusals unread' })
    expect(of(codes, 4)).toBeLessThanOrEqual(8)
    await at.device(sensor)
    const fresh = await from('127.0.2.1', at.port)
    fresh.write(packets.connect({ username: 'other', password: 'two' }))
    expect(await once(fresh, 'data')).toEqual([Buffer.from([0x20, 2, 0, 0])])
  })
})

describe('embedded broker, pages of browsers', () => {
  const opened = async (url: string, origin: string | undefined) => {
    const socket = new WebSocket(url, 'mqtt', origin === undefined ? {} : { origin })
    later(() => socket.terminate())
    const { promise, resolve } = Promise.withResolvers<boolean | number>()
    socket.on('error', () => {})
    socket.on('open', () => resolve(true))
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
    return await promise
  }

  test('a page of another host opens no websocket, a program and a page of this host do', async () => {
    const port = await freePort()
    const at = await place({ listen: `ws://127.0.0.1:${port}` })
    await at.sink()
    const url = `ws://127.0.0.1:${port}`
    expect(await opened(url, undefined)).toBe(true)
    expect(await opened(url, 'http://localhost:5173')).toBe(true)
    expect(await opened(url, 'https://evil.test')).toBe(403)
    expect(await opened(url, 'null')).toBe(403)
    expect(at.context.counts.get('mqtt_refused_origin')).toBe(2)
    const fields = { origin: 'https://evil.test', address: '127.0.0.1' }
    expect(at.context.lines).toContainEqual({ level: 'warn', message: expect.stringContaining('origins'), fields })
  })

  test('origins that are named, and no others', async () => {
    const port = await freePort()
    const at = await place({ listen: `ws://127.0.0.1:${port}`, origins: ['https://panel.test'] })
    await at.sink()
    expect(await opened(`ws://127.0.0.1:${port}`, 'https://panel.test')).toBe(true)
    expect(await opened(`ws://127.0.0.1:${port}`, 'http://localhost:5173')).toBe(403)
  })
})

describe('embedded broker, renewed certificates', () => {
  test('new devices see the new certificate, no connection ends, and an unusable pair leaves the one before', async () => {
    const authority = new Authority()
    const folder = mkdtempSync(join(tmpdir(), 'trivium-renewed-'))
    later(() => authority.end())
    later(() => rmSync(folder, { recursive: true }))
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const put = (pair: Pair) => {
      copyFileSync(pair.cert, cert)
      copyFileSync(pair.key, key)
    }
    const [first, second] = [authority.issue({ cn: 'first' }), authority.issue({ cn: 'second' })]
    put(first)
    const [secure, web] = (await freePorts(2)) as [number, number]
    const urls = [`mqtts://127.0.0.1:${secure}`, `wss://127.0.0.1:${web}`]
    const at = await place({ listen: urls, tls: { cert, key } })
    const source = await at.source(['#'], accept)
    const ca = readFileSync(authority.ca)
    const shown = async (port: number) => {
      const socket = connectTls({ port, host: '127.0.0.1', ca })
      await once(socket, 'secureConnect')
      const { CN } = socket.getPeerCertificate().subject
      socket.destroy()
      return CN
    }
    const isShown = async (name: string) => (await shown(secure)) === name && (await shown(web)) === name
    expect(await isShown('first')).toBe(true)
    const old = await Promise.all(urls.map((url) => device(url, { ca, keepalive: 1 })))
    const stream = publishing(old)

    put(second)
    await eventually(() => isShown('second'), { what: 'the new certificate' })
    const warned = (count: number) => () =>
      at.context.lines.filter(({ message }) => /earlier certificates stay/.test(message)).length >= count
    copyFileSync(first.key, key)
    await eventually(warned(1), { what: 'the warning of a pair that does not fit' })
    rmSync(cert)
    await eventually(warned(2), { what: 'the warning of a file that is not there' })
    writeFileSync(cert, 'no certificate')
    await eventually(warned(3), { what: 'the warning of a file that is none' })
    expect(await isShown('second')).toBe(true)
    put(first)
    await eventually(() => isShown('first'), { what: 'the certificate of before' })

    const sent = await stream.stop()
    expect(old.every(({ connected }) => connected)).toBe(true)
    expect(source.texts).toHaveLength(sent)
    expect(sent).toBeGreaterThan(20)
  })
})

/** QoS 1 messages from each, one after the other, until they are told to stop: how many were acknowledged. */
function publishing(devices: readonly MqttClient[]): { stop(): Promise<number> } {
  let isStopped = false
  const publish = async (one: MqttClient) => {
    let sent = 0
    for (; !isStopped; sent += 1) await one.publishAsync('s', `${sent}`, { qos: 1 })
    return sent
  }
  const all = Promise.all(devices.map(publish))
  return {
    stop: async () => {
      isStopped = true
      return (await all).reduce((sum, sent) => sum + sent, 0)
    },
  }
}
