import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from '@jest/globals'
import { alternativeName } from '../../../protocols/mqtt/broker/admission/identity.ts'
import { FailedLogins } from '../../../protocols/mqtt/broker/admission/logins.ts'
import { mayOpen } from '../../../protocols/mqtt/broker/admission/origins.ts'
import { addressKey } from '../../../protocols/mqtt/broker/admission/peer-address.ts'
import { fitsClientId, namingProblem } from '../../../protocols/mqtt/broker/admission/placeholders.ts'
import { createUsers } from '../../../protocols/mqtt/broker/admission/users.ts'
import { compileFilter } from '../../../protocols/mqtt/broker/filter.ts'
import { mqtt } from '../../../protocols/mqtt/index.ts'
import { fastestCpuMs } from '../../support/fastest.ts'
import { randomFrom } from '../../support/random.ts'

describe('addresses', () => {
  test.each([
    ['10.0.0.7', '10.0.0.7'],
    ['::ffff:10.0.0.7', '10.0.0.7'],
    ['::1', '::1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::9', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1::2:3:4:5:6', '1:0:0:2::/64'],
    ['', ''],
  ])('%s is counted as %s', (address, key) => {
    expect(addressKey(address)).toBe(key)
  })
})

describe('client ids', () => {
  test.each([
    ['{user}-*', 'bob', 'bob-1', true],
    ['{user}-*', 'bob', 'bob-', true],
    ['{user}-*', 'bob', 'bob', false],
    ['{user}-*', 'bob', 'bobby-1', false],
    ['{user}-*', '*', 'bob-1', false],
    ['{user}-*', '$&', '$&-1', true],
    ['{user}', '{user}', '{user}', true],
    ['*', 'bob', '', true],
    ['a*b*c', 'bob', 'abc', true],
    ['a*b*c', 'bob', 'axxbyyc', true],
    ['a*b*c', 'bob', 'axxcyyb', false],
    ['a*a', 'bob', 'a', false],
    ['a.c', 'bob', 'abc', false],
  ])('%s for %s and %s: %s', (pattern, user, clientId, fits) => {
    expect(fitsClientId(pattern, user, clientId)).toBe(fits)
  })

  test('a pattern of many stars takes no time', () => {
    const fits = () => expect(fitsClientId(`${'*a'.repeat(500)}b`, 'bob', 'a'.repeat(60_000))).toBe(false)
    expect(fastestCpuMs(fits)).toBeLessThan(500)
  })
})

describe('filters with {user} and {client}', () => {
  const granted = ['{user}/#', 'to/{client}', 'x/{user}-{client}/+']
  const users = createUsers([
    { username: 'bob', password: 'x', publish: granted, subscribe: granted },
    { username: 'eve', password: 'x', publish: granted, subscribe: granted },
  ])

  test('whatever a client id holds, only topics of its own user and itself are granted: 100,000 random ones', () => {
    const random = randomFrom(7)
    const letters = ['a', 'b', '/', '+', '#', '$', '\0', '{user}', '{client}', 'bob', 'eve', '-', '*', '%']
    const text = () => Array.from({ length: random(5) }, () => letters[random(letters.length)]).join('')
    const bob = users.named('bob')
    let admitted = 0
    for (let i = 0; i < 100_000; i += 1) {
      const clientId = text()
      if (bob?.clientIdProblem(clientId) !== undefined) {
        expect(namingProblem(clientId)).toBeDefined()
        continue
      }
      admitted += 1
      const rights = bob?.rightsAs(clientId)
      const topic = `${['eve', 'to', 'x', text()][random(4)]}/${text()}`
      const isOwn = /^bob(\/|$)/.test(topic) || topic === `to/${clientId}` || topic.startsWith(`x/bob-${clientId}/`)
      if (rights?.mayPublish(topic) && !isOwn) throw new Error(`${clientId} may publish to ${topic}`)
      if (rights?.maySubscribe(topic) && !isOwn) throw new Error(`${clientId} may subscribe to ${topic}`)
    }
    expect(admitted).toBeGreaterThan(1_000)
  })

  test.each(['', 'a/b', '+', '#', '$x', 'a\0'])('the client id %j is refused', (clientId) => {
    expect(users.named('bob')?.clientIdProblem(clientId)).toMatch(/the client id (is empty|holds)/)
  })

  test('{user} in the name of a client is no placeholder', () => {
    expect(users.named('bob')?.rightsAs('{user}').mayPublish('to/bob')).toBe(false)
    expect(users.named('bob')?.rightsAs('{user}').mayPublish('to/{user}')).toBe(true)
  })

  test('what is granted under the wildcards of a name in no rule stays what it says', () => {
    const [filter, topic] = ['+/a', 'x/a']
    expect(compileFilter(filter)(topic)).toBe(true)
    expect(users.named('bob')?.rightsAs('c').maySubscribe(filter)).toBe(false)
  })
})

describe('certificates', () => {
  test.each([
    ['DNS:a.test, DNS:b.test', 'a.test'],
    ['URI:urn:x, DNS:a.test', 'a.test'],
    ['URI:urn:x, email:a@b.test', 'a@b.test'],
    ['IP Address:10.0.0.1, URI:urn:device:7', 'urn:device:7'],
    ['URI:"urn:x, DNS:evil.test"', 'urn:x, DNS:evil.test'],
    ['URI:urn:x?DNS:evil.test', 'urn:x?DNS:evil.test'],
    ['DirName:"CN=x, DNS:evil.test"', ''],
    [undefined, ''],
  ])('of the alternative names %j the first counts: %s', (text, name) => {
    expect(alternativeName(text)).toBe(name)
  })

  test('a name is a user, or `*` stands for it; no password opens either', () => {
    const users = createUsers([
      { username: 'bob', publish: ['bob/#'] },
      { username: '*', publish: ['{user}/#'], clientIds: ['{user}'] },
    ])
    expect(users.certified('bob')?.rightsAs('x').mayPublish('bob/1')).toBe(true)
    expect(users.certified('eve')?.rightsAs('eve').mayPublish('bob/1')).toBe(false)
    expect(users.certified('eve')?.clientIdProblem('bob')).toBe('the client id fits none of the clientIds of its user')
    expect(users.certified('a/b')?.clientIdProblem('a/b')).toMatch(/the user name holds/)
    expect([users.certified(''), users.certified('*')]).toEqual([undefined, undefined])
    for (const name of ['bob', '*', 'eve']) {
      expect([users.login(name, undefined), users.login(name, Buffer.alloc(0))]).toEqual([undefined, undefined])
    }
  })
})

describe('settings of users and certificates', () => {
  const cert = { cert: 'c', key: 'k', ca: 'a' }
  const problems = (settings: object) => {
    const read = mqtt.connection.safeParse({ listen: 'mqtts://127.0.0.1', tls: cert, ...settings })
    return read.success
      ? mqtt.checkConnection!(read.data).map(({ path, message }) => `${path.join('.')}: ${message}`)
      : [read.error.message]
  }
  test.each([
    [{ users: [{ username: 'a' }] }, /^users\.0: a user needs a `password`/],
    [
      { users: [{ username: '*', password: 'x' }], tls: { ...cert, identity: 'cn' } },
      /^users\.0\.username: `\*` stands/,
    ],
    [{ users: [{ username: '*' }] }, /^users\.0\.username: `\*` stands/],
    [{ users: [{ username: 'a/b', password: 'x', publish: ['{user}/#'] }] }, /^users\.0\.username: the name holds/],
    [{ tls: { cert: 'c', key: 'k', identity: 'cn' } }, /^tls\.identity: `identity` needs `ca`/],
    [{ users: [{ username: 'a', password: 'x', publish: ['{name}/#'] }] }, /expected \{user\} or \{client\}/],
    [{ users: [{ username: 'a', password: 'x', clientIds: ['{client}-*'] }] }, /expected \{user\} between braces/],
    [{ origins: ['panel.example.com'] }, /expected `\*`, or an origin/],
    [{ maxConnectionsPerAddress: 0 }, /maxConnectionsPerAddress/],
  ])('%j is refused', (settings, problem) => {
    expect(problems(settings)).toEqual([expect.stringMatching(problem)])
  })

  test('users by certificate need no password', () => {
    const users = [{ username: 'a' }, { username: '*', publish: ['{user}/{client}/#'], clientIds: ['{user}-*'] }]
    expect(problems({ users, tls: { ...cert, identity: 'san' }, origins: ['*', 'https://a.test:8443'] })).toEqual([])
  })
})

describe('origins', () => {
  test.each([
    [undefined, 'box:9001', false, true],
    ['http://box:8080', 'box:9001', false, true],
    ['https://box', 'box', false, true],
    ['http://evil.test', 'box:9001', false, false],
    ['http://box.evil.test', 'box', false, false],
    ['null', 'box', false, false],
    ['garbage', 'box', false, false],
    ['http://box', undefined, false, false],
    ['http://localhost:5173', '127.0.0.1:9001', true, true],
    ['http://[::1]:5173', 'localhost:9001', true, true],
    ['http://evil.test', 'evil.test:9001', true, false],
    ['http://evil.test', '127.0.0.1:9001', true, false],
  ])('a page of %s at %s, local: %s, is let in: %s', (origin, host, isLocal, isLetIn) => {
    expect(mayOpen({ origin, host }, undefined, isLocal)).toBe(isLetIn)
  })

  test('origins that are named are let in, and no others', () => {
    const named = ['https://panel.test']
    const open = (origin: string, origins: readonly string[]) => mayOpen({ origin, host: 'box' }, origins, false)
    expect([
      open('https://panel.test', named),
      open('https://panel.test:444', named),
      open('http://box', named),
    ]).toEqual([true, false, false])
    expect(open('http://evil.test', ['*'])).toBe(true)
  })
})

describe('failed logins', () => {
  test('memory is bounded: 25,000 addresses, names and client ids of 2 KB', () => {
    const logins = new FailedLogins((name) => name === 'sensor')
    const before = heapBytes()
    for (let i = 0; i < 25_000; i += 1) {
      const long = `${i}`.padEnd(2048)
      const attempt = { address: `10.0.${i >> 8}.${i & 255}`, username: long, clientId: long }
      logins.isBlocked(attempt)
      logins.succeed(attempt)
    }
    expect(heapBytes() - before).toBeLessThan(20 * 1024 ** 2)
    expect(logins.isBlocked({ address: '', username: '', clientId: '' })).toBe(false)
  })
})

/** After a collection. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}
