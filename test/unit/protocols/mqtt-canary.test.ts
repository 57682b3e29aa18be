import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { Canary } from '../../../protocols/mqtt/broker/canary.ts'

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

/** A broker that passes messages on until it is told not to. */
function broker() {
  let deliver = (_packet: unknown, _done: () => void) => {}
  const at = {
    passes: true,
    answered: 0,
    publish: async (packet: unknown) => {
      if (at.passes) deliver(packet, () => (at.answered += 1))
    },
    subscribe(_topic: string, handler: typeof deliver) {
      deliver = handler
    },
  }
  return at
}

test('a broker that passes messages on is left alone; one that stopped is told of', () => {
  const at = broker()
  const onSilence = jest.fn()
  const canary = new Canary(at, onSilence)
  canary.start()
  jest.advanceTimersByTime(60_000)
  expect([onSilence.mock.calls.length, at.answered]).toEqual([0, 12])
  at.passes = false
  jest.advanceTimersByTime(10_000)
  expect(onSilence).toHaveBeenCalledTimes(1)
})

test('one that was stopped says nothing', () => {
  const at = broker()
  at.passes = false
  const onSilence = jest.fn()
  const canary = new Canary(at, onSilence)
  canary.start()
  canary.stop()
  jest.advanceTimersByTime(60_000)
  expect(onSilence).not.toHaveBeenCalled()
})
