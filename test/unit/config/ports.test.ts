import { expect, test } from '@jest/globals'
import { portProblem } from '../../../src/adapter/schema.ts'

test.each([
  'localhost',
  'localhost:1',
  '[::1]:65535',
  'mqtt://localhost',
  'mqtts://user:99999@localhost:8883/path',
  'amqp://localhost/99999',
  // whatever stands before an @ may be a password
  'amqp://user:99999/7@localhost',
  'nonsense:x',
])('%s: no port, or one that can be', (address) => {
  expect(portProblem(address)).toBeUndefined()
})

test.each([
  ['localhost:0', '0'],
  ['localhost:65536', '65536'],
  ['[::1]:90920', '90920'],
  ['mqtt://user:1883@localhost:99999', '99999'],
  ['ws://localhost:99999/mqtt?a=b', '99999'],
])('%s: it is told', (address, port) => {
  expect(portProblem(address)).toBe(`port ${port} is not 1-65535`)
})

test('0 is a port to listen on', () => {
  expect(portProblem('127.0.0.1:0', 0)).toBeUndefined()
  expect(portProblem('127.0.0.1:65536', 0)).toBe('port 65536 is not 0-65535')
})
