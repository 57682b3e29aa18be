/** Who a device is: client ids that belong to users, and users that certificates name. */
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { IClientOptions } from 'mqtt'
import { Authority, type Pair, type Subject } from '../support/brokers/certificates.ts'
import { testContext } from '../support/contexts/context.ts'
import { FakeKept } from '../support/contexts/kept.ts'
import { cleanUp, device, place } from '../support/contexts/mqtt-broker.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

afterEach(cleanUp)

const accept = () => 'accept' as const

describe('embedded broker, client ids of users', () => {
  const users = [
    {
      username: 'bob',
      password: 'b',
      clientIds: ['{user}-*'],
      publish: ['s/{user}/{client}'],
      subscribe: ['to/{client}/#'],
    },
    { username: 'eve', password: 'e', publish: ['s/{user}/#'] },
  ]
  const bob = { username: 'bob', password: 'b' }
  const eve = { username: 'eve', password: 'e' }

  test('nobody else gets a client id of the user, connected, away or not there yet', async () => {
    const at = await place({ users })
    await at.sink()
    await expect(at.device({ ...eve, clientId: 'bob-1', clean: false })).rejects.toMatchObject({ code: 2 })
    const owner = await at.device({ ...bob, clientId: 'bob-1', clean: false })
    await expect(at.device({ ...eve, clientId: 'bob-1' })).rejects.toMatchObject({ code: 2 })
    await owner.endAsync()
    await expect(at.device({ ...eve, clientId: 'bob-1' })).rejects.toMatchObject({ code: 2 })
    await expect(at.device({ ...bob, clientId: 'elsewhere' })).rejects.toMatchObject({ code: 2 })
    await at.device({ ...eve, clientId: 'elsewhere' })
    const reasons = at.context.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields?.reason)
    expect(reasons).toEqual(['the client id fits the clientIds of another user'])
  })

  test('a session another user began before the patterns were written ends at the start', async () => {
    const kept = new FakeKept()
    const before = await place(
      { users: users.map(({ clientIds: _, ...user }) => user) },
      { ...testContext('devices'), kept },
    )
    const closing = await before.sink()
    const squatter = await before.device({ ...eve, clientId: 'bob-1', clean: false })
    await squatter.subscribeAsync('none').catch(() => {})
    await squatter.publishAsync('s/eve/x', 'x', { qos: 2 })
    await squatter.endAsync()
    await closing.close()
    const at = await place({ users }, { ...testContext('devices'), kept })
    await at.sink()
    expect(at.context.lines).toContainEqual(expect.objectContaining({ message: 'a kept session ended' }))
    await at.device({ ...bob, clientId: 'bob-1', clean: false })
  })

  test('{user} and {client} grant a device its own topics only', async () => {
    const at = await place({ users })
    const source = await at.source(['s/#'], accept)
    const one = await at.device({ ...bob, clientId: 'bob-1' })
    await one.publishAsync('s/bob/bob-1', 'own', { qos: 1 })
    await one.subscribeAsync('to/bob-1/#')
    await expect(one.subscribeAsync('to/bob-2/x')).rejects.toThrow()
    await expect(one.subscribeAsync('to/+/x')).rejects.toThrow()
    one.publish('s/bob/bob-2', 'another’s', { qos: 1 })
    await eventually(() => !one.connected, { what: 'the end of the connection' })
    expect(source.texts).toEqual(['own'])
  })

  test.each(['bob-/', 'bob-+', 'bob-#', 'bob-$'])('%s cannot stand in a filter, and is refused', async (clientId) => {
    const at = await place({ users })
    await at.sink()
    await expect(at.device({ ...bob, clientId })).rejects.toMatchObject({ code: 2 })
  })

  test('who takes a connection over is told', async () => {
    const at = await place({ users })
    await at.sink()
    const first = await at.device({ ...bob, clientId: 'bob-1' })
    await at.device({ ...bob, clientId: 'bob-1' })
    await eventually(() => !first.connected, { what: 'the end of the earlier connection' })
    const fields = { clientId: 'bob-1', username: 'bob', address: '127.0.0.1', earlierAddress: '127.0.0.1' }
    expect(at.context.lines).toContainEqual({ level: 'info', message: expect.stringContaining('took'), fields })
    expect(at.context.counts.get('mqtt_taken_over')).toBe(1)
  })
})

describe('embedded broker, users by certificate', () => {
  let authority: Authority
  let stranger: Authority
  beforeAll(() => {
    authority = new Authority()
    stranger = new Authority('stranger')
  })
  afterAll(() => {
    authority.end()
    stranger.end()
  })

  async function securePlace(settings: Parameters<typeof place>[0], identity?: 'cn' | 'san') {
    const [secure, plain] = [await freePort(), await freePort()]
    const tls = { ...authority.issue(), ca: authority.ca, identity }
    const listen = [`mqtts://127.0.0.1:${secure}`, `mqtt://127.0.0.1:${plain}`]
    const at = await place({ ...settings, listen, tls })
    const source = await at.source(['#'], accept)
    const url = `mqtts://localhost:${secure}`
    const enter = (subject: Subject, options: IClientOptions = {}, by = authority) => {
      const { cert, key } = by.issue(subject)
      const files = { ca: readFileSync(authority.ca), cert: readFileSync(cert), key: readFileSync(key) }
      return device(url, { ...files, ...options })
    }
    return { at, source, url, enter, plainUrl: `mqtt://127.0.0.1:${plain}` }
  }

  test.each([
    ['no', (url: string) => device(url, { ca: readFileSync(authority.ca) })],
    ['a foreign', (_url: string, enter: Enter) => enter({ cn: 'bob' }, {}, stranger)],
    ['an expired', (_url: string, enter: Enter) => enter({ cn: 'bob', days: -1 })],
    ['a nameless', (_url: string, enter: Enter) => enter({ cn: '' })],
  ])('%s certificate is refused', async (_kind, come) => {
    const { url, enter } = await securePlace({})
    await expect(come(url, enter)).rejects.toThrow()
    await enter({ cn: 'bob' })
  })

  test('a revoked certificate is refused, and after its revocation at the next connect', async () => {
    const [bob, eve] = [authority.issue({ cn: 'bob' }), authority.issue({ cn: 'eve' })]
    const crl = authority.revoke()
    const port = await freePort()
    const at = await place({
      listen: `mqtts://127.0.0.1:${port}`,
      tls: { ...authority.issue(), ca: authority.ca, crl },
    })
    await at.sink()
    const enter = ({ cert, key }: Pair) =>
      device(`mqtts://localhost:${port}`, {
        ...{ ca: readFileSync(authority.ca), cert: readFileSync(cert), key: readFileSync(key) },
      })
    const before = await enter(eve)
    authority.revoke(eve)
    const isRefused = () =>
      enter(eve).then(
        () => false,
        () => true,
      )
    await eventually(isRefused, { what: 'the refusal of the revoked certificate' })
    expect(before.connected).toBe(true)
    await enter(bob)
  })

  test('without users a session belongs to the name that began it', async () => {
    const { enter } = await securePlace({})
    const bob = await enter({ cn: 'bob' }, { clientId: 'one', clean: false })
    await expect(enter({ cn: 'eve' }, { clientId: 'one' })).rejects.toMatchObject({ code: 2 })
    await bob.endAsync()
    await expect(enter({ cn: 'eve' }, { clientId: 'one' })).rejects.toMatchObject({ code: 2 })
    await enter({ cn: 'bob' }, { clientId: 'one', clean: false })
  })

  const users = [
    { username: 'panel', password: 'p' },
    { username: 'admin', subscribe: ['#'] },
    { username: '*', clientIds: ['{user}-*'], publish: ['s/{user}/#'] },
  ]

  test.each(['cn', 'san'] as const)('the %s is the user: rights, client ids, and no password', async (identity) => {
    const { source, enter } = await securePlace({ users }, identity)
    const named = (name: string): Subject =>
      identity === 'cn' ? { cn: name } : { cn: 'x', names: `URI:urn:x,DNS:${name}` }
    const bob = await enter(named('bob'), { clientId: 'bob-1' })
    await bob.publishAsync('s/bob/1', 'own', { qos: 1 })
    bob.publish('s/eve/1', 'another’s', { qos: 1 })
    await eventually(() => !bob.connected, { what: 'the end of the connection' })
    expect(source.texts).toEqual(['own'])
    await expect(enter(named('eve'), { clientId: 'bob-1' })).rejects.toMatchObject({ code: 2 })
    const admin = await enter(named('admin'), { clientId: 'admin' })
    await admin.subscribeAsync('#')
  })

  test('a name that no user has is refused, its password or not', async () => {
    const { enter } = await securePlace({ users: users.slice(0, 2) }, 'cn')
    await expect(enter({ cn: 'eve' })).rejects.toMatchObject({ code: 5 })
    await expect(enter({ cn: 'eve' }, { username: 'panel', password: 'p' })).rejects.toMatchObject({ code: 5 })
  })

  test('where no certificate is shown passwords count, and only of users who have one', async () => {
    const { plainUrl } = await securePlace({ users }, 'cn')
    await device(plainUrl, { username: 'panel', password: 'p' })
    await expect(device(plainUrl, { username: 'admin', password: '' })).rejects.toMatchObject({ code: 4 })
    await expect(device(plainUrl, { username: '*', password: '' })).rejects.toMatchObject({ code: 4 })
    await expect(device(plainUrl, { username: 'admin' })).rejects.toMatchObject({ code: 4 })
  })

  test('users with passwords beside client certificates log in by password, as long as no identity is asked', async () => {
    const { enter } = await securePlace({ users: [{ username: 'panel', password: 'p' }] })
    await enter({ cn: 'bob' }, { username: 'panel', password: 'p' })
    await expect(enter({ cn: 'panel' })).rejects.toMatchObject({ code: 5 })
  })
})

type Enter = (subject: Subject, options?: IClientOptions, by?: Authority) => ReturnType<typeof device>
