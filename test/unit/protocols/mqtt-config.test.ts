import { describe, expect, it, jest } from '@jest/globals'
import type { MqttClientConnection } from '../../../protocols/mqtt/client/config.ts'
import { Liveness } from '../../../protocols/mqtt/client/liveness.ts'
import type { MqttConnection } from '../../../protocols/mqtt/config.ts'
import { connectError, outcomeOfReason } from '../../../protocols/mqtt/errors.ts'
import { mqtt } from '../../../protocols/mqtt/index.ts'
import { inFlightLimits } from '../../../protocols/mqtt/settings.ts'

function issues(settings: unknown): string[] {
  const parsed = mqtt.connection.safeParse(settings)
  if (parsed.success)
    return mqtt.checkConnection!(parsed.data).map(({ path, message }) => `${path.join('.')}: ${message}`)
  return parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
}
const connectionOf = (settings: unknown): MqttConnection => mqtt.connection.parse(settings)

describe('an mqtt connection', () => {
  it.each([
    [{ url: 'mqtt://localhost:1883' }],
    [{ url: 'wss://host/mqtt', tls: { ca: 'ca.pem' }, username: 'a', password: 'b', keepalive: '5s', clean: true }],
    [{ url: 'mqtt://user@host', password: 'b' }],
    [{ url: 'mqtt://host:1883/' }],
    [{ url: 'wss://host/mqtt?token=x' }],
    [{ listen: 'mqtt://127.0.0.1:1883' }],
    [{ listen: ['mqtt://127.0.0.1:1883', 'ws://[::1]:8080'] }],
    [{ listen: 'mqtt://0.0.0.0:1883', users: [{ username: 'a', password: 'b' }] }],
    [{ listen: 'mqtt://0.0.0.0:1883', insecure: true }],
    [{ listen: 'mqtts://0.0.0.0:8883', tls: { cert: 'c', key: 'k', ca: 'ca' } }],
  ])('is fine: %j', (settings) => {
    expect(issues(settings)).toEqual([])
  })

  it.each([
    [{}, ': an mqtt connection requires `url`'],
    [{ url: 'mqtt://a', listen: 'mqtt://127.0.0.1:1' }, 'listen: `url` and `listen` are mutually exclusive'],
    [{ url: 'mqtt://a', users: [] }, 'users: `users` belongs to a connection with `listen`'],
    [{ listen: 'mqtt://127.0.0.1:1', keepalive: '3s' }, 'keepalive: `keepalive` belongs to a connection with `url`'],
    [{ url: 'http://a' }, 'url: expected mqtt://'],
    [{ ulr: 'mqtt://a' }, ': Unrecognized key: "ulr"'],
    [{ url: 'mqtt://a', cleen: true }, ': Unrecognized key: "cleen"'],
    [{ url: 'mqtt://a', protocolVersion: 3 }, 'protocolVersion: '],
    [{ url: 'mqtt://a?keepalive=5' }, 'url: an mqtt:// address ends after host and port'],
    [{ url: 'mqtts://a/vhost' }, 'url: an mqtts:// address ends after host and port'],
    [{ url: 'mqtt://a', password: 'x' }, 'password: a password requires a username'],
    [{ url: 'mqtt://a', keepalive: '10ms' }, 'keepalive: keepalive must be between'],
    [{ url: 'mqtt://a', will: { topic: 'a/#' } }, 'will.topic: a topic must not contain a wildcard'],
    [{ url: 'mqtt://a', tls: {} }, 'tls: `tls` requires a url with mqtts://'],
    [{ url: 'mqtts://a', tls: { cert: 'c' } }, 'tls: a client certificate needs both'],
    [{ listen: 'mqtt://0.0.0.0:1883' }, 'listen: mqtt://0.0.0.0:1883 lets anyone in'],
    [{ listen: 'mqtts://127.0.0.1:8883' }, 'tls: a listener with mqtts://'],
    [{ listen: 'mqtts://10.0.0.1:8883', tls: { cert: 'c', key: 'k' } }, 'listen: mqtts://10.0.0.1:8883 lets anyone in'],
  ])('is told one problem: %j', (settings, expected) => {
    const found = issues(settings)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(expected)
  })

  it('has the defaults of the documentation', () => {
    const client = { clean: false, keepalive: 15_000, sessionExpiry: 604_800_000 }
    expect(connectionOf({ url: 'mqtt://a' })).toEqual({ url: 'mqtt://a', ...client })
    expect(connectionOf({ listen: 'mqtt://127.0.0.1:1' })).toEqual({
      ...{ listen: 'mqtt://127.0.0.1:1', users: [], insecure: false, maxInFlight: 1_024 },
      ...{ maxPacketSize: 1_048_576, maxConnections: 10_000, connectTimeout: 5_000 },
      ...{ maxTopicLevels: 32, maxSubscriptions: 100, maxTopicSize: 1_024, maxClientIdSize: 256 },
    })
  })

  it('is reached from outside where it listens', () => {
    const outside = (settings: unknown) => mqtt.sink!.outside!(connectionOf(settings)) as MqttClientConnection
    const users = [{ username: 'ada', password: 'p' }]
    expect(outside({ listen: 'mqtt://0.0.0.0:1884', users })).toMatchObject({
      url: 'mqtt://localhost:1884',
      username: 'ada',
      password: 'p',
    })
    expect(outside({ listen: 'ws://[::1]:8080' }).url).toBe('ws://[::1]:8080')
    expect(outside({ listen: 'mqtts://localhost', tls: { cert: 'c', key: 'k' } })).toMatchObject({
      url: 'mqtts://localhost:8883',
      tls: { ca: 'c' },
    })
    expect(outside({ url: 'mqtt://a' })).toEqual(connectionOf({ url: 'mqtt://a' }))
    expect(outside({ listen: ['mqtt://localhost:0', 'ws://localhost:8080'] }).url).toBe('ws://localhost:8080')
    expect(() => outside({ listen: 'mqtt://localhost:0' })).toThrow('name one to publish through it')
  })
})

it('a key of the other kind is told beside what else is wrong', () => {
  expect(issues({ url: 'mqtt://a', users: [], keepalive: 3 })).toEqual([
    'users: `users` belongs to a connection with `listen`',
    expect.stringMatching(/^keepalive: /),
  ])
})

it('maxInFlight belongs to `from`; of routes that share a source the least counts, and the connection has it for the others', () => {
  const froms = [{ maxInFlight: 7 }, {}, { maxInFlight: 9 }].map((from) => ({ topic: 'a', ...from }))
  expect(
    inFlightLimits(
      froms.map((from) => mqtt.source!.schema.parse(from)),
      1_024,
    ),
  ).toEqual([7, 1_024, 9])
  expect(inFlightLimits([{}], connectionOf({ listen: 'mqtt://127.0.0.1:1', maxInFlight: 5 }).maxInFlight ?? 0)).toEqual(
    [5],
  )
  expect(mqtt.source!.schema.safeParse({ topic: 'a', maxInFlight: 65_536 }).success).toBe(false)
})

it('a share on the embedded broker is told', () => {
  const from = mqtt.source!.schema.parse({ topic: 'a', share: 'g' })
  expect(mqtt.source!.check!(from, connectionOf({ listen: 'mqtt://127.0.0.1:1' }))).toMatchObject([{ path: ['share'] }])
  expect(mqtt.source!.check!(from, connectionOf({ url: 'mqtt://a' }))).toEqual([])
})

it('from and to have QoS 1 and no retain by default', () => {
  expect(mqtt.source!.schema.parse({ topic: 'a' })).toEqual({ topic: 'a', qos: 1 })
  expect(mqtt.sink!.schema.parse({ topic: 'a' })).toEqual({ topic: 'a', qos: 1, retain: false })
  expect(() => mqtt.source!.schema.parse({ topic: 'a', qos: 3 })).toThrow()
})

it('success codes are delivered, others retryable or rejected', () => {
  expect(outcomeOfReason(0, 't').kind).toBe('delivered')
  expect(outcomeOfReason(0x10, 't').kind).toBe('delivered')
  expect(outcomeOfReason(0x97, 't')).toMatchObject({
    kind: 'retryable',
    error: { code: 'TARGET_BUSY', countsAsAttempt: true },
  })
  expect(outcomeOfReason(0x99, 'some/topic')).toMatchObject({
    kind: 'rejected',
    error: { message: /0x99.*some\/topic/ },
  })
})

it.each([
  ['mqtts://host:1883', 'does this port speak MQTT over TLS'],
  ['mqtt://host:8883', 'does it want TLS (mqtts://)?'],
])('a peer of %s that resets the connection is asked about', (url, hint) => {
  expect(connectError(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }), url).message).toContain(hint)
})

describe('liveness', () => {
  const start = () => {
    const [ping, onSilent] = [jest.fn(), jest.fn()]
    return { ping, onSilent, liveness: new Liveness(1_000, ping, onSilent) }
  }
  jest.useFakeTimers()

  it('pings twice within the keepalive and gives up after one and a half of silence', () => {
    const { ping, onSilent, liveness } = start()
    jest.advanceTimersByTime(1_499)
    expect(ping).toHaveBeenCalledTimes(2)
    expect(onSilent).not.toHaveBeenCalled()
    jest.advanceTimersByTime(1)
    expect(onSilent).toHaveBeenCalledTimes(1)
    liveness.stop()
  })

  it('counts any byte as life, and no silence while reading is paused', () => {
    const { ping, onSilent, liveness } = start()
    for (let i = 0; i < 5; i += 1) {
      jest.advanceTimersByTime(1_200)
      liveness.hear()
    }
    liveness.isDeaf = true
    jest.advanceTimersByTime(60_000)
    expect(onSilent).not.toHaveBeenCalled()
    expect(ping.mock.calls.length).toBeGreaterThan(100)
    liveness.isDeaf = false
    jest.advanceTimersByTime(1_500)
    expect(onSilent).toHaveBeenCalledTimes(1)
    liveness.stop()
  })
})
