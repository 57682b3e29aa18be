import { expect, test } from '@jest/globals'
import { isLoopback } from '../../../src/adapter/loopback.ts'

test.each(['localhost', 'LOCALHOST', '127.0.0.1', '127.0.0.2', '::1', '[::1]', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1'])(
  '%s is reached from this machine only',
  (host) => expect(isLoopback(host)).toBe(true),
)

test.each(['0.0.0.0', '::', '10.0.0.1', '::ffff:10.0.0.1', '127.evil.example', '127.0.0.1.evil.example', 'host', ''])(
  '%s may be reached from elsewhere',
  (host) => expect(isLoopback(host)).toBe(false),
)
