import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Ids } from '../../../../protocols/http/later/ids.ts'
import { Promises } from '../../../../protocols/http/later/promises.ts'
import { packAnswer, packRequest, unpackAnswer, unpackRequest } from '../../../../protocols/http/later/record.ts'
import { FakeKept } from '../../../support/contexts/kept.ts'
import { message } from '../../store/stores.ts'

const limits = { maxCount: 10, maxBytes: 1000, maxAge: 60_000 }
const answer = (body: string, status = 200) => ({ status, headers: ['content-type', 'text/plain'], body })
const request = (text: string) => Buffer.from(text)
const textOf = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString()

async function asked(promises: Promises, text: string, who = 'me'): Promise<string> {
  const { id, kept } = promises.add(request(text), who)
  await kept
  promises.askAgain(id)
  return id
}

describe('ids', () => {
  test('are ours alone, and none is like another', () => {
    const [ids, others] = [new Ids(Buffer.from('a secret')), new Ids(Buffer.from('another'))]
    const given = Array.from({ length: 100 }, () => ids.next())
    expect(new Set(given).size).toBe(100)
    expect(given.every((id) => ids.isOurs(id))).toBe(true)
    expect(given.some((id) => others.isOurs(id))).toBe(false)
    fc.assert(fc.property(fc.string(), (text) => !ids.isOurs(text) && !ids.isOurs(`${given[0]?.slice(0, 43)}${text}x`)))
  })
})

describe('promises', () => {
  test('what has no answer at a crash is asked again, in its order; what has one is there', async () => {
    const kept = new FakeKept()
    const promises = new Promises(kept, limits)
    const ids = [await asked(promises, '1'), await asked(promises, '2'), await asked(promises, '3')]
    expect(textOf(promises.next()?.request)).toBe('1')
    await promises.answer(ids[1]!, answer('two'))
    const again = new Promises(kept.crash(), limits)
    expect([ids.map((id) => again.stateOf(id, 'me'))]).toEqual([['pending', 'ready', 'pending']])
    expect(again.answerOf(ids[1]!)).toMatchObject({ status: 200, headers: ['content-type', 'text/plain'] })
    expect([again.next(), again.next(), again.next()].map((next) => textOf(next?.request))).toEqual([
      '1',
      '3',
      undefined,
    ])
  })

  test('nothing is ready, and nobody is told, before it is on disk', async () => {
    const kept = new FakeKept()
    const promises = new Promises(kept, limits)
    const id = await asked(promises, '1')
    const release = kept.stall()
    const answering = promises.answer(id, answer('one'))
    await new Promise((resolve) => setImmediate(resolve))
    expect(promises.stateOf(id, 'me')).toBe('pending')
    expect(new Promises(kept.crash(), limits).stateOf(id, 'me')).toBe('pending')
    release()
    await answering.catch(() => {})
  })

  test('are answered once, and not after they were deleted', async () => {
    const promises = new Promises(new FakeKept(), limits)
    const [id, other] = [await asked(promises, '1'), await asked(promises, '2')]
    await promises.answer(id, answer('one'))
    await expect(promises.answer(id, answer('again'))).rejects.toMatchObject({ code: 'REPLY_UNEXPECTED' })
    await promises.remove(other)
    await expect(promises.answer(other, answer('two'))).rejects.toMatchObject({ code: 'REPLY_UNEXPECTED' })
    expect([promises.stateOf(other, 'me'), promises.stateOf(id, 'you')]).toEqual(['gone', 'unknown'])
  })

  test('leave nothing on disk but their secret once they are gone, by hand or by age', async () => {
    const kept = new FakeKept()
    const promises = new Promises(kept, { ...limits, maxAge: -1 })
    const ids = [await asked(promises, '1'), await asked(promises, '2')]
    await promises.answer(ids[0]!, answer('one'))
    expect(promises.stateOf(ids[0]!, 'me')).toBe('gone')
    expect(promises.sweep()).toBe(1)
    await promises.remove(ids[1]!)
    expect(kept.size).toBe(1)
    expect(promises.problem).toBeUndefined()
  })

  test('a reply that has no room is refused; an error in its place is small, and kept', async () => {
    const promises = new Promises(new FakeKept(), limits)
    const id = await asked(promises, 'x'.repeat(900))
    await expect(promises.answer(id, answer('y'.repeat(1100)))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    await promises.answer(id, answer('no room', 502))
    expect(promises.stateOf(id, 'me')).toBe('ready')
    expect(promises.problem).toBeUndefined()
    await asked(promises, 'x'.repeat(1000))
    expect(promises.problem).toMatch('maxBytes')
  })

  test('whoever waits hears of the answer, and leaves when told to', async () => {
    const promises = new Promises(new FakeKept(), limits)
    const id = await asked(promises, '1')
    const leaving = new AbortController()
    const [heard, left] = [promises.changed(id, AbortSignal.timeout(60_000)), promises.changed(id, leaving.signal)]
    leaving.abort()
    await left
    await promises.answer(id, answer('one'))
    await heard
    expect(promises.stateOf(id, 'me')).toBe('ready')
  })
})

describe('records', () => {
  test('requests and answers come back as they were', () => {
    const envelope = message({ payload: Buffer.from([0, 10, 255]), headers: { a: ['1', '2'], n: 7 } })
    const back = unpackRequest(packRequest({ method: 'POST', address: '/a/ü', envelope }), 'api')
    expect(back).toMatchObject({ method: 'POST', address: '/a/ü' })
    expect(back.envelope.headers).toEqual(envelope.headers)
    expect([back.envelope.messageId, back.envelope.source]).toEqual([envelope.messageId, envelope.source])
    expect([...(back.envelope.payload ?? [])]).toEqual([0, 10, 255])
    const whole = { status: 201, headers: ['x-a', '1\n2'], body: Buffer.from([10, 0, 255]) }
    const { body, ...head } = unpackAnswer(packAnswer(whole))
    expect([head, [...Buffer.from(body)]]).toEqual([{ status: 201, headers: ['x-a', '1\n2'] }, [10, 0, 255]])
  })
})
