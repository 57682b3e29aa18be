/** What is amiss with each message is told once, then counted. */
import { expect } from '@jest/globals'
import { complaints } from '../support/contexts/log.ts'
import { inProcess } from '../support/gateway/road.ts'
import { scenario, texts } from '../support/gateway/scenario.ts'
import { patientMs, sourceIsUp } from '../support/gateway/stored.ts'
import { amqpPlace, kafkaPlace } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

scenario('500 messages for an exchange without a bound queue are one line in the log', async (scope) => {
  const [source, target, grave] = [await kafkaPlace(), await amqpPlace(), await amqpPlace()]
  const gateway = scope.gateway(
    inProcess(`
connections: { source: ${source.connection}, target: ${target.connection}, grave: ${grave.connection} }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    to: [{ connection: target, exchange: amq.direct, routingKey: "nowhere.{payload.n}" }]
    deadLetter: { connection: grave, exchange: amq.direct, routingKey: nowhere-either }
`),
  )
  await sourceIsUp(gateway)
  await (await scope.use(source.sender())).send(texts(500))
  const isRefused = () => gateway.gateway.workbench.count({ toForward: false }) === 500
  await eventually(isRefused, { withinMs: patientMs, what: 'all are dead letters, and refused as such' })
  const lines = complaints(gateway.lines).map(({ message }) => message)
  expect(lines).toEqual([
    expect.stringMatching(/^dead letter on route road: exchange amq.direct .* leads to no queue/),
    'route road: dead letter target refused a letter; it remains in the store',
  ])
})
