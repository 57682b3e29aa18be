import { afterEach, describe, expect, test } from '@jest/globals'
import { cleanUp, inbox, packets, place, raw } from '../support/contexts/mqtt-broker.ts'
import { eventually } from '../support/poll.ts'

afterEach(cleanUp)

const accept = () => 'accept' as const
const users = [
  { username: 'sensor', password: 'one', publish: ['s/#'], subscribe: ['answers/+'] },
  { username: 'other', password: 'two' },
  { username: 'listener', password: 'three', subscribe: ['s/#'] },
]
const sensor = { username: 'sensor', password: 'one' }
const other = { username: 'other', password: 'two' }

describe('embedded broker, users', () => {
  test.each([
    ['no name', {}, 5],
    ['an unknown name', { username: 'nobody', password: 'one' }, 4],
    ['a wrong password', { username: 'sensor', password: 'two' }, 4],
    ['no password', { username: 'sensor' }, 4],
  ])('a device with %s is refused after a moment', async (_name, login, code) => {
    const at = await place({ users })
    await at.source(['s/#'], accept)
    const before = performance.now()
    await expect(at.device(login)).rejects.toMatchObject({ code })
    expect(performance.now() - before).toBeGreaterThan(200)
    expect(at.context.lines.filter(({ message }) => message === 'a device was refused')).toHaveLength(1)
    await at.device(sensor)
  })

  test('who guesses is slowed down, and told of once', async () => {
    const at = await place({ users })
    await at.sink()
    const codes: unknown[] = []
    for (let i = 0; i < 60; i += 1) {
      at.device({ username: 'sensor', password: `guess ${i}` }).catch((error: { code: unknown }) =>
        codes.push(error.code),
      )
    }
    const of = (code: number) => codes.filter((each) => each === code).length
    // 20 wait their turn; while all 60 come in, some may have had theirs
    await eventually(() => of(5) >= 35, { what: 'refusals unread' })
    expect(of(4)).toBeLessThanOrEqual(5)
    expect(at.context.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
  })

  test('a user publishes to granted topics only, and is disconnected elsewhere', async () => {
    const at = await place({ users })
    const source = await at.source(['#'], accept)
    const device = await at.device(sensor)
    await device.publishAsync('s/1', 'granted', { qos: 1 })
    device.publish('t/1', 'denied', { qos: 1 })
    await eventually(() => !device.connected, { what: 'the end of the connection' })
    const listener = await at.device({ username: 'listener', password: 'three' })
    listener.publish('s/1', 'denied', { qos: 1 })
    await eventually(() => !listener.connected, { what: 'the end of the connection' })
    expect(source.texts).toEqual(['granted'])
  })

  test('a user subscribes to granted filters and narrower ones only', async () => {
    const at = await place({ users })
    await at.sink()
    const device = await at.device(sensor)
    const asked = [
      'answers/+',
      'answers/7',
      'answers/#',
      'answers/+/x',
      '#',
      '+/7',
      's/1',
      '$SYS/#',
      '$share/g/answers/7',
    ]
    const codes = []
    for (const filter of asked) codes.push((await device.subscribeAsync(filter).catch(() => [{ qos: 128 }]))[0]?.qos)
    expect(codes).toEqual([0, 0, 128, 128, 128, 128, 128, 128, 128])
  })

  test('a refused filter is not kept with the session either', async () => {
    const at = await place({ users })
    const sink = await at.sink()
    const session = { ...sensor, clientId: 'kept', clean: false }
    const device = await at.device(session)
    await device.subscribeAsync({ 'answers/7': { qos: 1 }, 'secrets/7': { qos: 1 } }).catch(() => {})
    await device.endAsync()
    const publisher = await at.device(other)
    await publisher.publishAsync('secrets/7', 'hidden', { qos: 1 })
    await publisher.publishAsync('answers/7', 'answer', { qos: 1 })
    const again = await raw(at.port)
    again.send(connectAs('kept', sensor))
    const bytes = await again.receive(4 + 'answers/7answer'.length)
    expect(bytes.toString('latin1')).toContain('answer')
    expect(bytes.toString('latin1')).not.toContain('hidden')
    await sink.close()
  })

  test('another user does not take over a client id, neither connected nor away; the same one does', async () => {
    const at = await place({ users })
    await at.sink()
    const owner = await at.device({ ...sensor, clientId: 'one', clean: false })
    await expect(at.device({ ...other, clientId: 'one' })).rejects.toMatchObject({ code: 2 })
    expect(owner.connected).toBe(true)
    await owner.endAsync()
    await eventually(() => at.shared.current?.devices === 0, { what: 'the leaving' })
    await expect(at.device({ ...other, clientId: 'one' })).rejects.toMatchObject({ code: 2 })
    const back = await at.device({ ...sensor, clientId: 'one' })
    const taken = await at.device({ ...sensor, clientId: 'one' })
    await eventually(() => !back.connected, { what: 'the end of the earlier connection' })
    await taken.endAsync()
    await eventually(() => at.shared.current?.devices === 0, { what: 'the leaving' })
    await at.device({ ...other, clientId: 'one' })
  })

  test('a client id with wildcards grants nothing', async () => {
    const at = await place({ users })
    await at.sink()
    const device = await at.device({ ...sensor, clientId: '+/#/$SYS/../é\u{1F600}' })
    await expect(device.subscribeAsync('#')).rejects.toThrow()
  })

  test('maxSubscriptions bounds the filters of one device, and an unsubscribed one gives room', async () => {
    const at = await place({ maxSubscriptions: 2 })
    await at.sink()
    const device = await at.device()
    await device.subscribeAsync(['a', 'b'])
    await device.subscribeAsync('a')
    await expect(device.subscribeAsync('c')).rejects.toThrow()
    await device.unsubscribeAsync('a')
    await device.subscribeAsync('c')
  })

  test('anybody may use every topic where no users are named, but none with $', async () => {
    const at = await place()
    await at.sink()
    const device = await at.device()
    const received = inbox(device)
    await device.subscribeAsync(['#', '+/+'])
    await expect(device.subscribeAsync('$SYS/#')).rejects.toThrow()
    const second = await at.device({ clientId: 'second' })
    await second.publishAsync('x/y', 'seen', { qos: 1 })
    await eventually(() => received.length > 0, { what: 'the message' })
    expect(received.every((text) => text === 'x/y seen')).toBe(true)
    second.publish('$SYS/x', 'x', { qos: 1 })
    await eventually(() => !second.connected, { what: 'the end of the connection' })
  })
})

function connectAs(clientId: string, { username, password }: { username: string; password: string }): Buffer {
  const fields = [clientId, username, password].map((field) =>
    Buffer.concat([Buffer.from([0, field.length]), Buffer.from(field)]),
  )
  const body = Buffer.concat([Buffer.from('\0\x04MQTT\x04\xc0\0\0', 'latin1'), ...fields])
  return Buffer.concat([packets.connect().subarray(0, 1), Buffer.from([body.length]), body])
}
