/** The judge judged: a gateway with each of five planted defects must not get past it, an honest one must. */
import { describe, expect, test } from '@jest/globals'
import { decodeMessage, encodeMessage } from '../support/fault/message.ts'
import { defects, IssueLog, Oracle, type Verdict } from '../support/fault/oracle.ts'

interface Sent {
  readonly key: string
  readonly n: number
  readonly payload: Buffer
}
/** What a gateway does with a message, given the way to acknowledge and the way to deliver. */
interface Toy {
  accept(message: Sent, ack: () => void): void
  /** The process dies: what it had in memory is gone. */
  crash(): void
  /** Delivers what waits. */
  flush(deliver: (payload: Buffer) => void): void
}

type Defect = 'drop one' | 'duplicate one' | 'flip a bit' | 'swap two' | 'acknowledge early'

/** Acknowledges after delivery; with a defect it does one thing wrong, once, or acknowledges at receipt. */
class ToyGateway implements Toy {
  readonly #defect: Defect | undefined
  #waiting: { message: Sent; ack: () => void }[] = []

  constructor(defect?: Defect) {
    this.#defect = defect
  }

  accept(message: Sent, ack: () => void): void {
    if (this.#defect === 'acknowledge early') ack()
    this.#waiting.push({ message, ack })
  }

  crash(): void {
    this.#waiting = []
  }

  flush(deliver: (payload: Buffer) => void): void {
    const batch = this.#waiting
    this.#waiting = []
    const payloads = batch.map(({ message }) => message.payload)
    const at = payloads.length >> 1
    const isTheOne = batch.some(({ message }) => message.n === 50)
    if (isTheOne && this.#defect === 'drop one') payloads.splice(at, 1)
    if (isTheOne && this.#defect === 'duplicate one') payloads.splice(at, 0, payloads[at]!)
    if (isTheOne && this.#defect === 'flip a bit') payloads[at] = flipped(payloads[at]!, 137)
    if (isTheOne && this.#defect === 'swap two') payloads.splice(at, 2, payloads[at + 1]!, payloads[at]!)
    for (const payload of payloads) deliver(payload)
    for (const { ack } of batch) ack()
  }
}

/** 100 messages of one key in batches of 10 through a gateway that may crash once; its producer sends again what was not acknowledged. */
function run(gateway: Toy, crashes: 0 | 1): Verdict {
  const log = new IssueLog()
  const oracle = new Oracle(log)
  const deliver = (payload: Buffer) => oracle.deliver(payload)
  for (let batch = 0; batch < 10; batch += 1) {
    const sent = Array.from({ length: 10 }, () => log.issue('red', 80))
    const send = (message: Sent) => gateway.accept(message, () => log.acknowledge(message))
    for (const message of sent) send(message)
    if (crashes === 1 && batch === 3) {
      gateway.crash()
      for (const message of sent.filter((candidate) => !log.isAcked(candidate))) send(message)
    }
    gateway.flush(deliver)
  }
  return oracle.verdict()
}

function flipped(payload: Buffer, bit: number): Buffer {
  const copy = Buffer.from(payload)
  copy[bit >> 3]! ^= 1 << (bit & 7)
  return copy
}

const none = { duplicatesAtMost: 0 }

describe('an honest gateway', () => {
  test.each([0, 1] as const)('is not accused, with %i crashes', (crashes) => {
    const verdict = run(new ToyGateway(), crashes)
    expect(defects(verdict, none)).toEqual([])
    expect(verdict).toMatchObject({ issued: 100, acked: 100, delivered: 100 })
  })
})

describe('a gateway with a defect is caught', () => {
  test.each<[Defect, 0 | 1, Partial<Verdict>]>([
    ['drop one', 0, { missing: 1 }],
    ['duplicate one', 0, { duplicates: 1 }],
    ['flip a bit', 0, { corrupted: 1, missing: 1 }],
    ['swap two', 0, { inversions: 1 }],
    ['acknowledge early', 1, { missing: 10 }],
  ])('%s', (defect, crashes, expected) => {
    const verdict = run(new ToyGateway(defect), crashes)
    expect(verdict).toMatchObject(expected)
    expect(defects(verdict, none)).not.toEqual([])
  })
})

describe('the oracle', () => {
  test('sees every single flipped bit', () => {
    const payload = encodeMessage({ key: 'red', n: 12 }, 96)
    expect(decodeMessage(payload)).toEqual({ key: 'red', n: 12 })
    const unseen = Array.from({ length: payload.length * 8 }, (_, bit) => bit).filter(
      (bit) => decodeMessage(flipped(payload, bit)) !== undefined,
    )
    expect(unseen).toEqual([])
  })

  test('sees a message cut short, and one that grew', () => {
    const payload = encodeMessage({ key: 'red', n: 12 }, 96)
    for (const other of [payload.subarray(0, 40), payload.subarray(1), Buffer.concat([payload, payload])]) {
      expect(decodeMessage(other)).toBeUndefined()
    }
  })

  test('calls spurious what was never issued, and corrupted what lies under the key of another', () => {
    const log = new IssueLog()
    const oracle = new Oracle(log)
    const { payload } = log.issue('red')
    oracle.deliver(encodeMessage({ key: 'red', n: 1 }))
    oracle.deliver(encodeMessage({ key: 'blue', n: 0 }))
    oracle.deliver(payload, { key: 'blue' })
    expect(oracle.verdict()).toMatchObject({ spurious: 2, corrupted: 1, delivered: 0 })
  })

  test('does not blame the gateway for a copy that the broker hands out again', () => {
    const log = new IssueLog()
    const oracle = new Oracle(log)
    const { payload } = log.issue('red')
    for (const isAgain of [true, true, false]) oracle.deliver(payload, { isAgain })
    expect(oracle.verdict()).toMatchObject({ delivered: 1, duplicates: 1, unackedDelivered: 1 })
  })

  test('is incomplete while an acknowledged message is missing, though an unacknowledged one came in its place', () => {
    const log = new IssueLog()
    const oracle = new Oracle(log)
    const [first, second] = [log.issue('red'), log.issue('red')]
    log.acknowledge(first)
    oracle.deliver(second.payload)
    expect(oracle.isComplete).toBe(false)
    oracle.deliver(first.payload)
    expect(oracle.isComplete).toBe(true)
    expect(oracle.verdict()).toMatchObject({ missing: 0, inversions: 1, unackedDelivered: 1 })
  })

  test('holds a million messages in a few bytes each', () => {
    const log = new IssueLog()
    const oracle = new Oracle(log)
    const before = process.memoryUsage().arrayBuffers
    for (let at = 0; at < 1_000_000; at += 1) {
      const message = log.issue(`key-${at % 20}`)
      log.acknowledge(message)
      if (at % 100_000 !== 99_999) oracle.deliver(message.payload)
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024)
    expect(oracle.verdict()).toMatchObject({ acked: 1_000_000, missing: 10, duplicates: 0 })
  })
})
