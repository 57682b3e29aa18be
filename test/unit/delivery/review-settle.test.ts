import { expect, test } from '@jest/globals'
import { delivered } from '../../../src/adapter/contract.ts'
import { Dispatcher } from '../../../src/delivery/dispatcher.ts'
import type { Parcel } from '../../../src/delivery/parcel.ts'
import { RetryableError } from '../../../src/errors.ts'
import { parcel, RecordingOwner, ScriptedSink, textOf } from './scripted.ts'

const turn = () => new Promise((resolve) => setTimeout(resolve, 5))
const busyLong = { kind: 'retryable' as const, error: new RetryableError('TARGET_BUSY', 'busy', { retryAfterMs: 60_000 }) }

class Stored extends RecordingOwner {
  parked(p: Parcel): void {
    this.events.push(`parked ${textOf(p.outbound)}`)
  }
}

test.each(['stored', 'delivered'])('REVIEW drain, %s: what comes behind a failed message of its key is not confirmed before it', async (kind) => {
  const sink = new ScriptedSink({ maxConcurrentSends: 2, maxBatch: 1 })
  sink.isHolding = true
  const owner = kind === 'stored' ? new Stored() : new RecordingOwner()
  const dispatcher = new Dispatcher(sink, () => {})
  dispatcher.resume()
  dispatcher.add(parcel(owner, 'A', 'k'))
  dispatcher.add(parcel(owner, 'B', 'k'))
  await turn()
  expect(sink.held.length).toBe(2)
  sink.held[0]!.answer([busyLong])
  await turn()
  dispatcher.settle()
  if (kind === 'delivered') dispatcher.stop()
  sink.held[1]!.answer([delivered])
  await turn()
  expect(owner.events).not.toContain('confirmed B')
})
