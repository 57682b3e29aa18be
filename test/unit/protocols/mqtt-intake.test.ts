import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from '@jest/globals'
import type { IPublishPacket } from 'mqtt'
import type { Link } from '../../../protocols/mqtt/client/connection.ts'
import { createSession, Intake, type Session } from '../../../protocols/mqtt/client/intake.ts'
import type { Delivery } from '../../../src/adapter/contract.ts'
import { RetryableError } from '../../../src/errors.ts'
import { testContext } from '../../support/contexts/context.ts'
import { eventually } from '../../support/poll.ts'

function fakeLink(sessionPresent: boolean) {
  const written: string[] = []
  const link = {
    version: 5,
    sessionPresent,
    write: (bytes: Buffer) => written.push(bytes.toString('hex')),
    pause: () => {},
    resume: () => {},
  }
  return { link: link as unknown as Link, written }
}

/** One connection of a session, consuming; `got` are its deliveries. */
function connect(session: Session, sessionPresent = true) {
  const intake = new Intake(session, testContext('plant'), { readersOf: () => undefined })
  const { link, written } = fakeLink(sessionPresent)
  const got: Delivery[] = []
  intake.start(link)
  intake.consume((batch) => void got.push(...batch), new AbortController().signal).catch(() => {})
  return { intake, written, got }
}

function publish(text: string, messageId: number, dup = false): IPublishPacket {
  return { cmd: 'publish', topic: 't', payload: Buffer.from(text), qos: 2, messageId, dup, retain: false }
}

const texts = (got: readonly Delivery[]) => got.map(({ envelope }) => Buffer.from(envelope.payload ?? []).toString())

describe('MQTT intake, QoS 2', () => {
  test('a repetition of what was accepted is answered and not handed over', async () => {
    const session = createSession(testContext('plant'), [10])
    const first = connect(session)
    first.intake.take(publish('a', 5))
    await turn()
    first.got[0]?.settle('accept')
    first.intake.stop(new RetryableError('PEER_LOST', 'gone'))
    const second = connect(session)
    second.intake.take(publish('a', 5, true))
    await turn()
    await turn()
    expect(second.got).toEqual([])
    expect(second.written).toEqual(['50020005'])
  })

  test('another message under an id whose PUBREL never came is handed over, and again when it is repeated', async () => {
    const session = createSession(testContext('plant'), [10])
    const first = connect(session)
    first.intake.take(publish('a', 5))
    await turn()
    first.got[0]?.settle('accept')
    first.intake.stop(new RetryableError('PEER_LOST', 'gone'))
    const second = connect(session)
    second.intake.take(publish('b', 5))
    await turn()
    expect(texts(second.got)).toEqual(['b'])
    second.intake.stop(new RetryableError('PEER_LOST', 'gone'))
    const third = connect(session)
    third.intake.take(publish('b', 5, true))
    await turn()
    expect(texts(third.got)).toEqual(['b'])
  })
})

test('what waits for room has its time to live, and its time, from its arrival', async () => {
  const session = createSession(testContext('plant'), [1])
  const { intake, got } = connect(session)
  for (const [id, text] of ['a', 'b'].entries())
    intake.take({ ...publish(text, id + 1), qos: 1, properties: { messageExpiryInterval: 60 } })
  const arrivedBy = Date.now()
  await eventually(() => Date.now() > arrivedBy + 20, { what: 'a later time' })
  got[0]?.settle('accept')
  await eventually(() => got.length === 2, { what: 'the second' })
  expect(Date.parse(got[1]!.envelope.timestamp)).toBeLessThanOrEqual(arrivedBy)
})
