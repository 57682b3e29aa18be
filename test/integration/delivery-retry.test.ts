/** `retry.attempts` is about what a target answers, never about its absence: seen at a real queue that is full. */

import { expect } from '@jest/globals'
import amqplib from 'amqplib'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { inProcess, roadBetween } from '../support/gateway/road.ts'
import { arrived, checkNothingLost, type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { kafkaPlace, placeAt, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

/** A queue of one place that refuses what is more. */
async function fullQueue(scope: Scope): Promise<{ name: string; makeRoom(): Promise<unknown> }> {
  const connection = await amqplib.connect(brokerAddresses().amqp)
  scope.after(() => connection.close())
  const channel = await connection.createConfirmChannel()
  const name = unique('t')
  await channel.assertQueue(name, { durable: true, arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
  scope.after(() => channel.deleteQueue(name))
  channel.sendToQueue(name, Buffer.from('first'))
  await channel.waitForConfirms()
  return { name, makeRoom: () => channel.get(name, { noAck: true }) }
}

const toQueue = (name: string) => ({
  connection: `{ protocol: amqp, url: "${brokerAddresses().amqp}" }`,
  to: `queue: ${name}, declare: false`,
})

scenario(
  'a full queue is tried `attempts` times, then the message is dead-lettered and its lane goes on',
  async (scope) => {
    const [source, queue] = [await kafkaPlace(), await fullQueue(scope)]
    const gateway = await scope
      .gateway(
        inProcess(roadBetween(source, toQueue(queue.name), 'retry: { attempts: 3, delay: 20ms, maxDelay: 40ms }')),
      )
      .ready()
    const sent = texts(10)
    const sender = await scope.use(source.sender())
    await sender.send(sent)
    const stats = gateway.route('road')
    await eventually(() => stats.deadLetteredTotal === 10, { what: 'all dead-lettered' })
    expect(Object.fromEntries(stats.deadLettered)).toEqual({ 'max-attempts': 10 })
    const [target] = stats.targets
    expect({ retried: target!.attemptsRetry, failed: target!.attemptsFail }).toEqual({ retried: 20, failed: 10 })
    const letters = gateway.letters()
    expect(letters.map(({ attempts }) => attempts)).toEqual(Array(10).fill(3))
    expect(letters.map(({ reason }) => reason)).toEqual(Array(10).fill('max-attempts'))
    await eventually(() => gateway.link('source', 'source').settled === 10, { what: 'all settled' })

    await queue.makeRoom()
    await sender.send(texts(1))
    await eventually(() => stats.delivered === 1, { what: 'the next one' })
  },
)

scenario('a queue that has room again in time gets the message, once', async (scope) => {
  const [source, queue] = [await kafkaPlace(), await fullQueue(scope)]
  const gateway = await scope
    .gateway(
      inProcess(roadBetween(source, toQueue(queue.name), 'retry: { attempts: 1000, delay: 10ms, maxDelay: 50ms }')),
    )
    .ready()
  await (await scope.use(source.sender())).send(texts(1))
  const stats = gateway.route('road')
  await eventually(() => stats.targets[0]!.attemptsRetry >= 3, { what: 'three answers' })
  await queue.makeRoom()
  await eventually(() => stats.delivered === 1, { what: 'delivered' })
  expect(stats.deadLetteredTotal).toBe(0)
  expect(stats.targets[0]!.attemptsOk).toBe(1)
})

scenario('an outage counts as no attempt, however often it comes: attempts 1 dead-letters nothing', async (scope) => {
  const port = await freePort()
  const [source, target] = [await placeAt('mqtt'), await placeAt('amqp', { port })]
  const gateway = scope.gateway(
    inProcess(roadBetween(source, target, 'acknowledge: delivered', 'retry: { attempts: 1 }')),
  )
  const link = gateway.link('target', 'sink')
  await eventually(() => link.reconnects >= 5, { withinMs: 30_000, what: 'five attempts' })
  const proxy = await scope.use(wireTo('amqp', port))
  await gateway.ready()
  const stats = gateway.route('road')
  const sent = texts(200)
  proxy.blackhole()
  await (await scope.use(source.sender())).send(sent)
  await eventually(() => stats.inFlight === 200, { what: 'all on their way, unanswered' })
  proxy.cut()
  await eventually(() => link.state === 'down', { what: 'the cut' })
  expect(stats.targets[0]!.attemptsRetry).toBeGreaterThan(0)
  proxy.restore()
  const reader = await scope.use(target.reader())
  await arrived(reader, sent)
  checkNothingLost(reader.got, sent)
  await eventually(() => stats.delivered === 200, { what: 'all counted' })
  expect({ dead: stats.deadLetteredTotal, failed: stats.targets[0]!.attemptsFail }).toEqual({ dead: 0, failed: 0 })
})
