import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from '@jest/globals'
import mqttJs from 'mqtt'
import { openLink } from '../../protocols/mqtt/client/connection.ts'
import { Authority } from '../support/brokers/certificates.ts'
import { FakeBroker, types } from '../support/brokers/fake-mqtt-broker.ts'
import { startMosquitto } from '../support/brokers/mosquitto.ts'
import { codes, never } from '../support/contexts/messages.ts'
import { Bench, connectionOf, contextOf, listen, outbound } from '../support/contexts/mqtt-client.ts'
import { RunningSource } from '../support/contexts/running-source.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const bench = new Bench()
afterEach(() => bench.end())

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'trivium-mqtt-'))
  bench.later(async () => rmSync(path, { recursive: true, force: true }))
  return path
}

async function mosquitto(...conf: string[]) {
  const broker = await startMosquitto({ conf })
  bench.later(() => broker.stop())
  return broker
}

/** A message through a sink and a source of one connection. */
async function expectRoundTrip(settings: Record<string, unknown>): Promise<void> {
  const topic = unique('round')
  const connection = connectionOf(settings)
  const reading = await bench.run([{ topic }], connection)
  const sink = await bench.sink(connection)
  expect(codes(await sink.send([outbound(topic, 'x')], never))).toEqual(['delivered'])
  await reading.has(1)
  reading.received[0]?.settle('accept')
  await reading.stop()
}

describe('credentials', () => {
  async function guarded() {
    const passwords = join(folder(), 'passwords')
    execFileSync('mosquitto_passwd', ['-b', '-c', passwords, 'ada', 'lovelace'])
    return await mosquitto('allow_anonymous false', `password_file ${passwords}`)
  }

  it('connects with the right password, by setting or in the url', async () => {
    const { address } = await guarded()
    await expectRoundTrip({ url: address, username: 'ada', password: 'lovelace' })
    await expectRoundTrip({ url: address.replace('//', '//ada:lovelace@') })
  })

  it.each([4, 5])('tells a wrong password plainly, version %i', async (protocolVersion) => {
    const { address } = await guarded()
    const settings = { url: address.replace('//', '//ada:secret@'), protocolVersion }
    const error = await bench.sink(connectionOf(settings)).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'CREDENTIALS_REFUSED', retryable: true, isOutage: true })
    expect(error.message).toMatch(/refuses the connection: (wrong user name|not authorized)/)
    expect(error.message).not.toContain('secret')
  })
})

describe('TLS and WebSocket', () => {
  it('speaks mqtts with a client certificate, and refuses an unknown authority', async () => {
    const [port, authority] = [await freePort(), new Authority()]
    bench.later(async () => authority.end())
    const [server, own] = [authority.issue(), authority.issue({ cn: 'gateway' })]
    const tls = [`cafile ${authority.ca}`, `certfile ${server.cert}`, `keyfile ${server.key}`]
    await mosquitto(`listener ${port} 127.0.0.1`, ...tls, 'require_certificate true')
    const url = `mqtts://localhost:${port}`
    await expectRoundTrip({ url, tls: { ca: authority.ca, ...own } })
    await expect(bench.sink(connectionOf({ url, tls: own }))).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE',
      retryable: true,
    })
    await expect(bench.sink(connectionOf({ url, tls: { ca: `${authority.ca}.absent` } }))).rejects.toThrow(/absent/)
  })

  it('speaks ws', async () => {
    const port = await freePort()
    await mosquitto(`listener ${port} 127.0.0.1`, 'protocol websockets')
    await expectRoundTrip({ url: `ws://127.0.0.1:${port}/mqtt` })
  })
})

it('is refused a subscription: retryable, naming the filter', async () => {
  const broker = await FakeBroker.start()
  bench.later(() => broker.stop())
  broker.suback = (body) => Buffer.from([0x90, 4, body[0]!, body[1]!, 0, 0x87])
  const source = bench.source([{ topic: 'secret/{id}' }], connectionOf({ url: broker.url }))
  await expect(source.open(never)).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
    retryable: true,
    message: /secret\/\+/,
  })
})

it('leaves its will when it vanishes, and not when it closes', async () => {
  const topic = unique('will')
  const { packets } = await listen(await bench.client(), topic)
  const will = { topic, payload: 'gone' }
  const link = (name: string) =>
    openLink(
      {
        settings: connectionOf({ will }),
        clientId: name,
        clean: true,
        receiveMaximum: 9,
        take: () => false,
        log: contextOf().log,
      },
      never,
    )
  const polite = await link(unique('polite'))
  await polite.close()
  const rude = await link(unique('rude'))
  rude.fail(new Error('cut'))
  await eventually(() => packets.length > 0, { what: 'the will' })
  expect(packets.map(({ payload }) => `${payload}`)).toEqual(['gone'])
})

it('gives one will to the clients of one connection', async () => {
  const broker = await FakeBroker.start()
  bench.later(() => broker.stop())
  const connection = connectionOf({ url: broker.url, will: { topic: 'w', payload: 'last words' } })
  await bench.run([{ topic: 'a' }], connection)
  await bench.sink(connection)
  const wills = broker.heard.filter(({ type, body }) => type === types.connect && body.includes('last words'))
  expect(wills).toHaveLength(1)
})

it.each([
  ['nobody listens', async () => `mqtt://127.0.0.1:${await freePort()}`],
  ['the host is unknown', async () => 'mqtt://no-such-host.invalid'],
  ['ws: nobody listens', async () => `ws://127.0.0.1:${await freePort()}`],
])('calls a broker unreachable where %s', async (_name, urlOf) => {
  const url = await urlOf()
  await expect(bench.sink(connectionOf({ url }))).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', retryable: true })
})

it('gives up opening at the abort', async () => {
  const broker = await FakeBroker.start()
  bench.later(() => broker.stop())
  broker.connackFor = () => undefined
  const stop = new AbortController()
  const opened = bench.source([{ topic: 'a' }], connectionOf({ url: broker.url })).open(stop.signal)
  await broker.has(types.connect, 1)
  stop.abort()
  await expect(opened).rejects.toMatchObject({ retryable: true })
})

it('opens and closes again and again, also where nothing is open', async () => {
  const source = bench.source([{ topic: unique('twice') }])
  await source.close()
  for (let i = 0; i < 2; i += 1) {
    await source.open(never)
    await source.close()
    await source.close()
  }
  await source.open(never)
  await new RunningSource(source).stop()
})

it('tells when another client takes the session', async () => {
  const context = contextOf()
  const reading = await bench.run([{ topic: unique('taken') }], connectionOf(), context)
  const other = await bench.run([{ topic: unique('taken') }], connectionOf(), context)
  await expect(reading.done).rejects.toMatchObject({
    code: 'PEER_LOST',
    message: /another client has taken the session/,
  })
  await other.stop()
})

describe('what the adapter relies on in mqtt.js', () => {
  it('is version 5.16; look at the hook in connection.ts before another one goes in', () => {
    expect(mqttJs.MqttClient.VERSION).toMatch(/^5\.16\./)
  })

  it.each([1, 2])('ends the connection before mqtt.js acknowledges QoS %i by itself', async (qos) => {
    const broker = await FakeBroker.start()
    bench.later(() => broker.stop())
    const settings = connectionOf({ url: broker.url })
    const options = { settings, clientId: 'x', clean: true, receiveMaximum: 9, take: () => false }
    const link = await openLink({ ...options, log: contextOf().log }, never)
    broker.publish('a', 'x', { qos })
    await expect(link.lost()).resolves.toMatchObject({ code: 'PEER_LOST', message: /acknowledge a message by itself/ })
    expect(broker.count(types.puback) + broker.count(types.pubrec)).toBe(0)
  })
})
