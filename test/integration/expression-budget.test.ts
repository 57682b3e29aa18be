/** Hostile data: a message for which the rules would cost too much is a dead letter, and what follows it is delivered. */

import { expect } from '@jest/globals'
import { scenario } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, kafkaPlace, mqttPlace } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

const small = JSON.stringify({ items: [1, 2], allowed: [1, 2, 3] })

/** 240 KB for `in`, 40 KB for the list within itself. */
const hostile = JSON.stringify({
  items: Array.from({ length: 20_000 }, (_, index) => index),
  allowed: Array.from({ length: 20_000 }, (_, index) => index - 20_000),
})

for (const [title, rule, from, to] of [
  ['a condition', 'when: "payload.items.all(i, i in payload.allowed || true)"', mqttPlace, kafkaPlace],
  ['set', 'set: { payload.copies: "payload.items.map(i, payload.items)" }', kafkaPlace, amqpPlace],
] as const) {
  scenario(`${title} that would cost too much makes a dead letter of its message alone`, async (scope) => {
    const [source, target] = [await from(), await to()]
    const gateway = await scope
      .gateway(`
gateway: { id: ${unique('t')}, drain: 2s, admin: false }
connections:
  source: ${source.connection}
  target: ${target.connection}
routes:
  - name: road
    from: { connection: source, ${source.from} }
    ${rule}
    to: [ { connection: target, ${target.to} } ]
`)
      .ready()
    const reader = await scope.use(target.reader())
    const sender = await scope.use(source.sender())
    await sender.send([hostile, small])
    await eventually(() => reader.got.length === 1, { what: 'the small one' })
    await eventually(() => gateway.route('road').deadLettered.size > 0, { what: 'the letter' })
    expect(Object.fromEntries(gateway.route('road').deadLettered)).toEqual({ 'expression-budget': 1 })
    const said = gateway.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
    expect(said).toContainEqual(expect.stringContaining('would take more than 50 ms of work or 64 MiB'))
  })
}
