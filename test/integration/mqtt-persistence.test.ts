/** What the embedded broker keeps for its devices, over the end of the program and its death. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from '@jest/globals'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { cleanUp, device, packets, raw } from '../support/contexts/mqtt-broker.ts'
import { GatewayProcess } from '../support/fault/gateway-process.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const withinMs = 30_000
const pubrec = (id: number) => Buffer.from([0x50, 2, 0, id])
const pubcomp = (id: number) => Buffer.from([0x70, 2, 0, id])
const connackBytes = 4

const gateways: GatewayProcess[] = []

afterEach(async () => {
  await cleanUp()
  for (const gateway of gateways.splice(0)) await gateway.remove()
})

/** A gateway whose broker echoes `in/<x>` to `out/<x>` by way of the store. */
async function createGateway(): Promise<{ gateway: GatewayProcess; port: number; url: string }> {
  const port = await freePort()
  const url = `mqtt://127.0.0.1:${port}`
  const gateway = await GatewayProcess.create(`
connections:
  devices: { protocol: mqtt, listen: "${url}" }
routes:
  - name: echo
    from: { connection: devices, topic: "in/{x}" }
    to: [{ connection: devices, topic: "out/{params.x}", qos: 1 }]
`)
  gateways.push(gateway)
  return { gateway, port, url }
}

interface Received {
  readonly text: string
  readonly qos: number
  readonly retain: boolean
}

/** Comes (back) with a kept session; nothing that waits for it is missed. */
async function comeBack(url: string, clientId: string, options: IClientOptions = {}) {
  const client = connect(url, { protocolVersion: 4, reconnectPeriod: 0, clean: false, clientId, ...options })
  const received: Received[] = []
  client.on('error', () => {})
  client.on('message', (topic, payload, { qos, retain }) => {
    received.push({ text: `${topic} ${payload.toString()}`, qos, retain })
  })
  const connected = Promise.withResolvers<boolean>()
  client.once('connect', ({ sessionPresent }) => connected.resolve(sessionPresent))
  const sessionPresent = await withDeadline(connected.promise, withinMs, 'CONNACK')
  return { client, received, sessionPresent }
}

const texts = (received: readonly Received[], prefix: string) =>
  received.filter(({ text }) => text.startsWith(prefix)).map(({ text }) => text)

async function publishAll(client: MqttClient, topic: string, count: number, qos: 1 | 2): Promise<string[]> {
  const payloads = Array.from({ length: count }, (_, i) => String(i))
  await Promise.all(payloads.map((payload) => client.publishAsync(topic, payload, { qos })))
  return payloads.map((payload) => `${topic} ${payload}`)
}

test("aedes-persistence's own suite passes on a store file", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'trivium-persistence-'))
  const env = { ...process.env, TRIVIUM_TEST_STORE: folder }
  const suite = join(import.meta.dirname, '../support/contexts/mqtt-persistence-suite.ts')
  try {
    const args = ['--no-warnings', '--test-reporter=tap', suite]
    const { stdout } = await promisify(execFile)(process.execPath, args, { env, maxBuffer: 16 * 1024 ** 2 })
    const countOf = (name: string) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(stdout)?.[1])
    expect({ failed: countOf('fail'), skipped: countOf('skipped') }).toEqual({ failed: 0, skipped: 0 })
    expect(countOf('pass')).toBeGreaterThanOrEqual(50)
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 120_000)

describe.each(['stop', 'kill'] as const)('after a %s', (end) => {
  test('subscriptions, waiting messages, retained messages and wills are there, each once and in order', async () => {
    const { gateway, url } = await createGateway()
    await gateway.start()
    const away = await device(url, { clientId: 'away', clean: false })
    await away.subscribeAsync({ 'news/#': { qos: 1 }, 'exact/#': { qos: 2 }, 'wills/#': { qos: 1 } })
    await away.endAsync()
    const will = { topic: 'wills/1', payload: Buffer.from([0, 1, 10, 255]), qos: 1 as const, retain: true }
    await device(url, { clientId: 'mortal', will })
    const publisher = await device(url)
    await publisher.publishAsync('state/1', 'on', { qos: 1, retain: true })
    const exact = await publishAll(publisher, 'exact/a', 50, 2)
    const news = await publishAll(publisher, 'news/a', 500, 1)
    await gateway[end]()

    await gateway.start()
    const back = await comeBack(url, 'away')
    expect(back.sessionPresent).toBe(true)
    await eventually(() => back.received.length >= 551, { withinMs, what: 'what waited' })
    await back.client.subscribeAsync(['state/#', 'wills/1'], { qos: 1 })
    await back.client.publishAsync('news/b', 'live', { qos: 1 })
    await eventually(() => texts(back.received, 'news/b').length === 1, { withinMs, what: 'a live message' })
    expect(texts(back.received, 'news/a')).toEqual(news)
    expect(texts(back.received, 'exact/')).toEqual(exact)
    expect(texts(back.received, 'state/')).toEqual(['state/1 on'])
    expect(back.received.filter(({ text }) => text.startsWith('wills/')).map(({ retain }) => retain)).toEqual([
      false, // published
      true, // and retained
    ])
    await back.client.endAsync()
    // what devices have acknowledged leaves the disk in company; this PUBACK says that it has left
    await (await device(url)).publishAsync('elsewhere', 'x', { qos: 1, retain: true })
    await gateway[end]()

    await gateway.start()
    const again = await comeBack(url, 'away')
    await again.client.publishAsync('news/c', 'the end', { qos: 1 })
    await eventually(() => again.received.length > 0, { withinMs, what: 'the last message' })
    expect(texts(again.received, '')).toEqual(['news/c the end'])
    await again.client.endAsync()
  }, 180_000)

  test('a session that ended is gone', async () => {
    const { gateway, url } = await createGateway()
    await gateway.start()
    const kept = await device(url, { clientId: 'changeable', clean: false })
    await kept.subscribeAsync('news/#', { qos: 1 })
    await kept.endAsync()
    const publisher = await device(url)
    await publisher.publishAsync('news/a', 'unread', { qos: 1 })
    await (await device(url, { clientId: 'changeable', clean: true })).endAsync()
    await gateway[end]()
    await gateway.start()
    const back = await comeBack(url, 'changeable')
    expect(back.sessionPresent).toBe(false)
    await back.client.subscribeAsync('other', { qos: 1 })
    await back.client.publishAsync('news/a', 'unsubscribed', { qos: 1 })
    await back.client.publishAsync('other', 'x', { qos: 1 })
    await eventually(() => back.received.length > 0, { withinMs, what: 'the message' })
    expect(texts(back.received, '')).toEqual(['other x'])
    await back.client.endAsync()
  }, 120_000)
})

describe('a QoS 2 message sent again after a crash', () => {
  test('between its commit and its PUBREC is answered and not taken twice', async () => {
    const { gateway, port, url } = await createGateway()
    await gateway.start({ env: { TRIVIUM_FAILPOINT: 'source.acknowledged' } })
    const watch = await comeBack(url, 'watch')
    await watch.client.subscribeAsync({ 'out/#': { qos: 1 }, 'in/#': { qos: 1 } })
    await watch.client.endAsync()
    const sender = await raw(port)
    sender.send(packets.connect({ clientId: 'sender', clean: false }), packets.publish('in/a', 'first', 2, 7))
    await gateway.ended
    await sender.closed()
    expect(sender.bytes()).toHaveLength(connackBytes)

    await gateway.start()
    const again = await raw(port)
    again.send(packets.connect({ clientId: 'sender', clean: false }), packets.publish('in/a', 'first', 2, 7, 8))
    expect((await again.receive(connackBytes + 4)).subarray(connackBytes)).toEqual(pubrec(7))
    again.send(packets.pubrel(7))
    expect((await again.receive(connackBytes + 8)).subarray(connackBytes + 4)).toEqual(pubcomp(7))
    again.send(packets.publish('in/a', 'second', 2, 7))
    expect((await again.receive(connackBytes + 12)).subarray(connackBytes + 8)).toEqual(pubrec(7))

    const back = await comeBack(url, 'watch')
    const seconds = () => back.received.filter(({ text }) => text.endsWith('second')).length
    await eventually(() => seconds() === 2, { withinMs, what: 'the second message, as it came and from the route' })
    expect(texts(back.received, 'out/')).toEqual(['out/a first', 'out/a second'])
    expect(texts(back.received, 'in/')).toEqual(['in/a first', 'in/a second'])
    await back.client.endAsync()
  }, 120_000)

  test('between its PUBREC and its PUBREL is answered and not taken twice; its id serves again afterwards', async () => {
    const { gateway, port, url } = await createGateway()
    await gateway.start()
    const watch = await comeBack(url, 'watch')
    await watch.client.subscribeAsync('out/#', { qos: 1 })
    const sender = await raw(port)
    sender.send(packets.connect({ clientId: 'sender', clean: false }), packets.publish('in/a', 'first', 2, 7))
    await sender.receive(connackBytes + 4)
    await gateway.kill()

    await gateway.start()
    const again = await raw(port)
    again.send(packets.connect({ clientId: 'sender', clean: false }), packets.publish('in/a', 'first', 2, 7, 8))
    again.send(packets.pubrel(7))
    await again.receive(connackBytes + 8)
    await gateway.kill()

    await gateway.start()
    const last = await raw(port)
    last.send(packets.connect({ clientId: 'sender', clean: false }), packets.publish('in/a', 'second', 2, 7))
    await last.receive(connackBytes + 4)
    const back = await comeBack(url, 'watch')
    await eventually(() => texts(back.received, 'out/a second').length > 0, { withinMs, what: 'the second message' })
    const all = [...texts(watch.received, ''), ...texts(back.received, '')]
    expect(new Set(all)).toEqual(new Set(['out/a first', 'out/a second']))
    expect(all.filter((text) => text === 'out/a second')).toHaveLength(1)
    await back.client.endAsync()
  }, 180_000)
})
