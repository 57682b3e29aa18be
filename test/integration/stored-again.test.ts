/** What rules make of a stored message: the same after a restart, though they run again. */
import { expect } from '@jest/globals'
import { arrived, scenario, texts } from '../support/gateway/scenario.ts'
import { patientMs, sourceIsUp } from '../support/gateway/stored.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, kafkaPlace, type Reader, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

scenario('`now()` and `uuid()` of a message are the same after a restart', async (scope) => {
  const port = await freePort()
  const [source, there, away] = [await amqpPlace(), await kafkaPlace(), await kafkaPlace({ port })]
  const yaml = `
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections: { source: ${source.connection}, there: ${there.connection}, away: ${away.connection} }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    set: { key: payload.key, headers.at: now(), headers.id: uuid() }
    to:
      - { connection: there, ${there.to} }
      - { connection: away, ${away.to} }
    acknowledge: stored
`
  const sent = texts(20)
  const first = scope.gateway(yaml)
  await sourceIsUp(first)
  await (await scope.use(source.sender())).send(sent)
  const before = await scope.use(there.reader())
  await arrived(before, sent, patientMs)
  await eventually(() => first.route('road').waiting === 20, { withinMs: patientMs, what: 'all wait for the other' })
  await first.pause()

  await scope.use(wireTo('kafka', port))
  const second = scope.gateway(yaml, first.dataDir)
  expect(second.route('road').restored).toBe(20)
  const after = await scope.use(away.reader())
  await arrived(after, sent, patientMs)
  expect(madeOf(after)).toEqual(madeOf(before))
  expect(new Set(madeOf(after).map(({ id }) => id)).size).toBe(20)
  await eventually(() => second.route('road').delivered === 20, { withinMs: patientMs, what: 'all delivered' })
  expect(before.got).toHaveLength(20) // the first target has them, and gets none again
})

/** What the rules made of each message, in the order of the messages. */
function madeOf({ got }: Reader) {
  const made = got.map(({ text, headers }) => ({ text, at: String(headers.at), id: String(headers.id) }))
  return made.toSorted((a, b) => (a.text < b.text ? -1 : 1))
}
