import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  addressProblem,
  hideAddresses,
  hostPortProblem,
  parseAddress,
  parseHostPort,
  secretPart,
  shownAddress,
} from '../../../src/adapter/address.ts'

const rule = { schemes: ['mqtt', 'amqps', 'ws'], example: 'mqtt://localhost:1883' }

describe('an address', () => {
  test.each([
    ['mqtt://localhost', { scheme: 'mqtt', host: 'localhost', port: undefined, username: undefined, path: '' }],
    ['MQTT://h:1', { scheme: 'mqtt', host: 'h', port: 1 }],
    ['mqtt://[::1]:65535', { host: '::1', port: 65_535 }],
    ['mqtt://[fe80::1%eth0]', { host: 'fe80::1%eth0', port: undefined }],
    ['mqtt://user@h', { username: 'user', password: undefined }],
    ['mqtt://user:p%2Fq%25%40@h', { username: 'user', password: 'p/q%@' }],
    ['mqtt://user:p@ssw0rd@h', { username: 'user', password: 'p@ssw0rd', host: 'h' }],
    ['mqtt://a:b:c@h', { username: 'a', password: 'b:c' }],
    ['mqtts://user:99999@localhost:8883/path', { port: 8883, password: '99999', path: '/path' }],
    ['amqp://h/%2f', { path: '/%2f' }],
    ['amqp://h/größe?heartbeat=1&x=2', { path: '/gr%C3%B6%C3%9Fe', query: 'heartbeat=1&x=2' }],
    ['ws://h:80?a=b?c', { path: '', query: 'a=b?c' }],
    ['mqtt://plant_7.local', { host: 'plant_7.local' }],
  ])('%s is read as %j', (text, parts) => {
    expect(parseAddress(text)).toMatchObject(parts)
  })

  test.each([
    ['mqtt://plant:hunter/2@127.0.0.1:1883', 'percent-encode'],
    ['mqtt://plant:hunter?2@127.0.0.1:1883', 'percent-encode'],
    ['mqtt://plant:hunter#2@127.0.0.1:1883', 'percent-encode'],
    ['amqps://user:pa/ssWORD@127.0.0.1:5672/vh', 'percent-encode'],
    ['mqtt://u:100%@host', 'write %25'],
    ['mqtt://u:%zz@host', 'write %25'],
    ['mqtt://u:%ff@host', 'not UTF-8'],
    ['mqtt://u:a b@host', 'white space'],
    ['mqtt://u:a\u202eb@host', 'white space or a control character'],
    ['mqtt://u:hunter2\n@host', 'white space'],
    ['mqtt://:hunter2@host', 'no user name'],
    ['mqtt://u:@host', 'empty password'],
    ['mqtt://u:hunter2@', 'no host'],
    ['mqtt://', 'no host'],
    ['mqtt://u:hunter2', 'not a number'],
    ['mqtt://::1:1883', 'in brackets'],
    ['mqtt://[::1', 'in brackets'],
    ['mqtt://[hunter2]', 'in brackets'],
    ['mqtt://h:', 'not a number'],
    ['mqtt://h:0', 'port 0 is not within 1-65535'],
    ['ws://localhost:99999/mqtt?a=b', 'port 99999 is not within 1-65535'],
    ['mqtt://h"x', 'not allowed in host names'],
    ['hunter2@h:1883', 'expected mqtt://, amqps:// or ws:// with a host, e.g. mqtt://localhost:1883'],
    ['http://u:hunter2@h', 'expected mqtt://, amqps:// or ws:// with a host'],
    ['', 'expected mqtt://'],
  ])('%j is refused: %s', (text, problem) => {
    expect(addressProblem(text, rule)).toContain(problem)
    expect(addressProblem(text, rule)).not.toMatch(/hunter|ssWORD/)
    expect(shownAddress(text)).not.toMatch(/hunter|ssWORD|100/)
  })

  test('a refusal and what is shown never hold a part of a password, whatever stands in it', () => {
    const canary = 'c4nary'
    const odd = fc.string({ unit: fc.constantFrom(...'/?#@:%[]&= \t\n"\\{}$aé\u0000\u202e'), maxLength: 6 })
    fc.assert(
      fc.property(odd, odd, odd, odd, (before, after, user, rest) => {
        const text = `mqtt://${user}:${before}${canary}${after}@host:1${rest}`
        const shown = [addressProblem(text, rule), shownAddress(text), hideAddresses(`lost ${shownAddress(text)}: why`)]
        expect(shown.join(' ')).not.toContain(canary)
      }),
    )
  })

  test('a port to listen on may be 0', () => {
    expect(addressProblem('mqtt://127.0.0.1:0', { ...rule, leastPort: 0 })).toBeUndefined()
    expect(addressProblem('mqtt://127.0.0.1:65536', { ...rule, leastPort: 0 })).toBe('port 65536 is not within 0-65535')
  })

  test.each([
    ['mqtt://user:p@ssw0rd@127.0.0.1:1', 'mqtt://127.0.0.1:1'],
    ['mqtt://[::1]:1883', 'mqtt://[::1]:1883'],
    ['wss://h/mqtt?token=x', 'wss://h'],
    ['mqtt://plant:hunter/2@h', 'mqtt://***'],
    ['plant:hunter2@h', '***'],
  ])('%s is shown as %s', (text, shown) => {
    expect(shownAddress(text)).toBe(shown)
  })
})

describe('host and port', () => {
  test('are read with and without brackets', () => {
    expect(parseHostPort('localhost:9092')).toEqual({ host: 'localhost', port: 9092 })
    expect(parseHostPort('[::1]:0', 0)).toEqual({ host: '::1', port: 0 })
  })

  test.each([
    ['localhost', 'expected host:port'],
    ['hunter2@localhost:1', 'expected host:port'],
    ['kafka://localhost:1', 'expected host:port'],
    ['localhost:65536', 'port 65536 is not within 1-65535'],
    ['::1:9092', 'in brackets'],
    ['user:hunter2', 'not a number'],
    [':1', 'no host'],
    ['127.0.0.1:0', 'port 0 is not within 1-65535'],
  ])('%s is refused: %s', (text, problem) => {
    expect(hostPortProblem(text)).toContain(problem)
  })
})

test.each([
  ['amqp://u:p@h/v', 'amqp://***@h/v'],
  ['amqp://u:p@ss@h', 'amqp://***@h'],
  ['amqp://u:p/q@h', 'amqp://***@h'],
  ['see mqtt://u:p@h and amqp://v:q@h', 'see mqtt://***@h and amqp://***@h'],
  ['a@b: mqtt://h:1 is away', 'a@b: mqtt://h:1 is away'],
])('%s in a text of somebody else becomes %s', (text, shown) => {
  expect(hideAddresses(text)).toBe(shown)
})

test.each([
  ['amqp://u:p@h@i/v', 'u:p@h'],
  ['mqtt://h:1', undefined],
  ['u:p@h', 'u:p'],
])('of %s the part %j may be secret', (text, secret) => {
  const part = secretPart(text)
  expect(part && text.slice(part.offset, part.offset + part.length)).toBe(secret)
})
