/** Dead letters that go back to their target: at once, later, and over a restart. */

import { expect } from '@jest/globals'
import amqplib from 'amqplib'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import type { TestGateway } from '../support/gateway/gateway.ts'
import { inProcess } from '../support/gateway/road.ts'
import { type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import { type Inlet, inletOf, patientMs, road } from '../support/gateway/stored.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

interface Desk {
  readonly gateway: TestGateway
  readonly yaml: string
  readonly sent: readonly string[]
  /** What the queue has. */
  readonly got: string[]
}

/** Ten dead letters of a queue that takes nothing, and then the queue as it should be. */
async function tenLetters(scope: Scope, acknowledge: 'stored' | 'delivered'): Promise<Desk & { source: Inlet }> {
  const source = await inletOf(scope, 'kafka')
  const connection = await amqplib.connect(brokerAddresses().amqp)
  scope.after(() => connection.close())
  const channel = await connection.createConfirmChannel()
  const queue = unique('t')
  const full = { durable: true, arguments: { 'x-max-length': 0, 'x-overflow': 'reject-publish' } }
  await channel.assertQueue(queue, full)
  scope.after(() => channel.deleteQueue(queue))
  const target = {
    connection: `{ protocol: amqp, url: "${brokerAddresses().amqp}" }`,
    to: `queue: ${queue}, declare: false`,
  }
  const retry = 'retry: { attempts: 2, delay: 10ms, maxDelay: 20ms }'
  const yaml = inProcess(road(source, target, retry).replace('acknowledge: stored', `acknowledge: ${acknowledge}`))
  const gateway = await scope.gateway(yaml).ready()
  const sent = texts(10)
  await source.send(sent)
  await eventually(() => gateway.route('road').deadLetteredTotal === 10, { withinMs: patientMs, what: 'ten letters' })
  await eventually(() => gateway.link('source', 'source').settled === 10, { withinMs: patientMs, what: 'all settled' })
  await channel.deleteQueue(queue)
  await channel.assertQueue(queue, { durable: true })
  const got: string[] = []
  await channel.consume(queue, (message) => void got.push(message?.content.toString() ?? ''), { noAck: true })
  return { gateway, yaml, sent, got, source }
}

for (const acknowledge of ['stored', 'delivered'] as const) {
  scenario(`requeued letters of a route that acknowledges ${acknowledge} are delivered, once`, async (scope) => {
    const { gateway, sent, got } = await tenLetters(scope, acknowledge)
    const answer = gateway.gateway.workbench.requeue({ route: 'road' }, { limit: 100 }, 'test')
    expect(answer).toMatchObject({ done: 10, skipped: [] })
    await eventually(() => gateway.route('road').delivered === 10, { withinMs: patientMs, what: 'all delivered' })
    await eventually(() => got.length === 10, { withinMs: patientMs, what: 'all there' })
    expect(got.toSorted()).toEqual(sent.toSorted())
    expect(gateway.letters()).toEqual([])
    expect(gateway.route('road')).toMatchObject({ restored: 10, waiting: 0 })
  })
}

scenario(
  'requeued with a delay they wait for it, also over a restart, behind nothing and before nobody',
  async (scope) => {
    const { gateway, yaml, sent, got, source } = await tenLetters(scope, 'stored')
    const delayMs = 10_000
    const dueAt = Date.now() + delayMs
    gateway.gateway.workbench.requeue({ route: 'road' }, { limit: 100, delayMs }, 'test')
    expect(gateway.route('road').waiting).toBe(10)
    const other = texts(5)
    await source.send(other)
    await eventually(() => got.length === 5, { withinMs: patientMs, what: 'others do not wait' })
    await gateway.pause()
    const again = await scope.gateway(yaml, gateway.dataDir).ready()
    const isDueBefore = Date.now() < dueAt
    expect(again.route('road')).toMatchObject({ restored: 10 })
    if (isDueBefore) expect(got.toSorted()).toEqual(other.toSorted())
    await eventually(() => got.length > 5, { withinMs: patientMs, what: 'the first of them' })
    expect(Date.now()).toBeGreaterThanOrEqual(dueAt)
    await eventually(() => again.route('road').delivered === 10, { withinMs: patientMs, what: 'all delivered' })
    await eventually(() => got.length === 15, { withinMs: patientMs, what: 'all there' })
    expect(got.toSorted()).toEqual([...other, ...sent].toSorted())
  },
)

scenario('a letter that fails again is a letter again, with its attempts counted anew', async (scope) => {
  const source = await inletOf(scope, 'amqp')
  const target = {
    connection: `{ protocol: amqp, url: "${brokerAddresses().amqp}" }`,
    to: `exchange: amq.direct, routingKey: ${unique('t')}`,
  }
  const gateway = await scope.gateway(inProcess(road(source, target))).ready()
  await source.send(texts(1))
  await eventually(() => gateway.letters().length === 1, { withinMs: patientMs, what: 'the letter' })
  const [first] = gateway.letters()
  gateway.gateway.workbench.requeue({ ids: [first!.id] }, { limit: 1 }, 'test')
  await eventually(() => gateway.letters().length === 1 && gateway.letters()[0]!.id !== first!.id, {
    withinMs: patientMs,
    what: 'the next letter',
  })
  expect(gateway.letters()).toMatchObject([{ reason: 'rejected', requeues: 1, attempts: first!.attempts }])
})
