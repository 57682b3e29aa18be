import { getEventListeners } from 'node:events'
import { afterEach, expect, jest, test } from '@jest/globals'
import type { Component, Log } from '../../../src/adapter/contract.ts'
import { ProtocolFault } from '../../../src/adapter/protocol-fault.ts'
import { supervise } from '../../../src/delivery/supervisor.ts'
import { PermanentError, RetryableError } from '../../../src/errors.ts'
import { LinkStats } from '../../../src/telemetry/stats.ts'

afterEach(() => void jest.restoreAllMocks())

/** Supervises a component whose `open` throws what `failures` says, then opens and ends as lost at once. */
function supervised(failures: readonly Error[]) {
  jest.spyOn(Math, 'random').mockReturnValue(0) // no back-off
  const link = new LinkStats('broker', 'test', 'source')
  const stop = new AbortController()
  const lines: string[] = []
  const say = (text: string, fields: { stack?: string } = {}) =>
    void lines.push(fields.stack === undefined ? text : `${text} (with its stack)`)
  const log = { debug: say, info: say, warn: say, error: say } as unknown as Log
  let opened = 0
  const component: Component = {
    async open() {
      opened += 1
      const failure = failures[opened - 1]
      if (failure !== undefined) throw failure
      if (opened > failures.length) stop.abort()
    },
    async close() {},
  }
  const session = () => Promise.reject(new RetryableError('PEER_LOST', 'gone'))
  const ended = supervise(component, session, link, log, stop.signal)
  return { lines, ended, signal: stop.signal, opened: () => opened }
}

const unreachable = (why: string) => new RetryableError('PEER_UNREACHABLE', why)

test('an outage says each of its reasons once, also when they take turns', async () => {
  const reasons = Array.from({ length: 40 }, (_, i) => unreachable(i % 2 === 0 ? 'refused' : 'reset'))
  const { lines, ended } = supervised(reasons)
  await ended
  expect(lines).toEqual([
    'broker is not available as source: refused; trying again',
    'broker is not available as source: reset; trying again',
  ])
})

test('attempts leave nothing behind on the signal of the process', async () => {
  const { ended, signal, opened } = supervised(Array.from({ length: 500 }, () => unreachable('refused')))
  await ended
  expect(opened()).toBe(501)
  expect(getEventListeners(signal, 'abort').length).toBeLessThan(5)
})

test('a file that is missing ends it at the start, and is waited for once it was there', async () => {
  const missing = new PermanentError('FILE_MISSING', 'cannot read ca.pem')
  await expect(supervised([missing]).ended).rejects.toBe(missing)
  const { ended, opened } = supervised([undefined as unknown as Error, missing, missing])
  await ended
  expect(opened()).toBe(4)
})

test('a bug of a protocol is said with its stack, the first time', async () => {
  const fault = () => new ProtocolFault(new TypeError('x is not a function'))
  const { lines, ended } = supervised([fault(), unreachable('refused'), undefined as unknown as Error, fault()])
  await ended
  const text = 'broker is not available as source: bug in its protocol, send() threw: x is not a function; trying again'
  expect(lines.filter((line) => line.startsWith(text))).toEqual([`${text} (with its stack)`, text])
  expect([fault().isOutage, fault().countsAsAttempt]).toEqual([true, false])
})
