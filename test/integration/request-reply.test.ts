/** Requests of amqplib's own RPC clients, through the gateway to a worker and back, on a real RabbitMQ. */

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { GetMessage } from 'amqplib'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { startProxy } from '../support/brokers/proxy.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { RpcAsker, rpcReplier } from '../support/contexts/amqp-rpc.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { eventually } from '../support/poll.ts'

let bench: Bench
let questions: string
let workers: string
let gateway: TestGateway | undefined

beforeEach(async () => {
  bench = new Bench()
  questions = await bench.queue()
  workers = await bench.queue()
})
afterEach(async () => {
  await gateway?.stop()
  gateway = undefined
  await bench.end()
})

/** A route that asks the workers; `request` and `more` as in YAML. */
async function asking(request = '{ timeout: 20s }', more: readonly string[] = []): Promise<TestGateway> {
  gateway = await start(request, more)
  return gateway
}

async function start(request: string, more: readonly string[], url = brokerAddresses().amqp): Promise<TestGateway> {
  const started = new TestGateway(`
gateway: { id: rpc, dataDir: "\${env:TRIVIUM_DATA_DIR}", admin: false, drain: 500ms }
connections: { orders: { protocol: amqp, url: "${url}" } }
routes:
  - name: ask
    from: { connection: orders, queue: ${questions} }
    to: [{ connection: orders, queue: ${workers} }]
    request: ${request}
${more.map((line) => `    ${line}`).join('\n')}
`)
  return await started.ready()
}

const exchange = () => gateway!.route('ask').exchange!
const reasons = () => gateway!.letters().map(({ reason }) => reason)
const settled = () => eventually(() => exchange().outstanding === 0, { what: 'every request to be settled' })

describe('a request over amqp', () => {
  test('is answered by direct reply-to, with the correlation its asker gave, untouched', async () => {
    await asking()
    const { heard } = await rpcReplier(bench, workers, (text) => `${text}!`)
    const asker = await RpcAsker.open(bench)
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) => asker.ask(questions, `q${n}`, { correlationId: `mine ${n} ü` })),
    )
    expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 200 }, (_, n) => `q${n}!`))
    expect(asker.strangers).toEqual([])
    expect(new Set(heard.map(({ properties }) => properties.correlationId)).size).toBe(200)
    expect(heard[0]?.properties).toMatchObject({
      replyTo: expect.stringMatching(/^trivium\.replies\.rpc\.[0-9a-f]{24}$/),
      correlationId: expect.stringMatching(/^[0-9a-f]{24}-0-\w+-[0-9a-f]{16}$/),
    })
    await settled()
    expect(exchange()).toMatchObject({ replies: 200, returned: 200, late: 0, unknown: 0 })
    expect(gateway!.route('ask')).toMatchObject({ delivered: 200, inFlight: 0 })
    expect(await bench.depth(questions)).toBe(0)
  })

  test('is answered at a queue of its asker, changed by the rules of the reply', async () => {
    await asking(`{ timeout: 20s, reply: { set: { headers.asked: request.id, payload.by: "'gateway'" } } }`, [
      'set: { payload.id: request.id }',
    ])
    const replies = await bench.queue()
    await rpcReplier(bench, workers, (text) => text)
    const answer = await (await RpcAsker.open(bench, replies)).ask(questions, '{"n":1}')
    const { id, ...rest } = JSON.parse(answer.text)
    expect(rest).toEqual({ n: 1, by: 'gateway' })
    expect(answer.headers.asked).toBe(id)
  })

  test('without a reply address is answered where request.to says', async () => {
    const answers = await bench.queue()
    await asking(`{ timeout: 20s, to: { exchange: amq.direct, routingKey: "{headers.room}" , allow: ["${answers}"] } }`)
    await (await bench.client()).bindQueue(answers, 'amq.direct', answers)
    await rpcReplier(bench, workers, (text) => `${text}!`)
    ;(await bench.client()).sendToQueue(questions, Buffer.from('q'), {
      ...{ correlationId: 'mine', replyTo: 'nowhere', headers: { room: answers } },
    })
    const [answer] = await eventually(
      async () => {
        const [first] = await bench.drain(answers)
        return first === undefined ? undefined : ([first] as [GetMessage])
      },
      { what: 'the answer' },
    )
    expect({ text: answer.content.toString(), id: answer.properties.correlationId }).toEqual({ text: 'q!', id: 'mine' })
  })

  test('that nobody answers in time is told so, once, and a late reply is kept', async () => {
    await asking('{ timeout: 300ms }')
    const worker = await rpcReplier(bench, workers, () => undefined)
    const answer = await (await RpcAsker.open(bench)).ask(questions, 'anybody?', { correlationId: 'c1' })
    expect(answer.headers).toMatchObject({ 'trivium-error': 'REPLY_TIMEOUT' })
    expect(JSON.parse(answer.text)).toMatchObject({ error: 'REPLY_TIMEOUT' })
    worker.reply(worker.heard[0]!, 'sorry')
    await eventually(() => reasons().includes('late-reply'), { what: 'the late reply' })
    await settled()
    expect(exchange()).toMatchObject({ timedOut: 1, replies: 1, late: 1, returned: 0 })
    expect(gateway!.route('ask').delivered).toBe(1)
  })

  test('late: drop keeps no reply that nobody waits for, and names one in the log', async () => {
    await asking('{ timeout: 300ms, late: drop }')
    const worker = await rpcReplier(bench, workers, () => undefined)
    await (await RpcAsker.open(bench)).ask(questions, 'anybody?')
    worker.reply(worker.heard[0]!, 'sorry')
    worker.reply(worker.heard[0]!, 'sorry again')
    await eventually(() => exchange().late === 2, { what: 'the late replies' })
    expect(gateway!.letters()).toEqual([])
    expect(gateway!.lines.filter(({ message }) => message.includes('dropped'))).toHaveLength(1)
  })

  test('a reply with no correlation, or one never given, reaches nobody', async () => {
    await asking()
    const worker = await rpcReplier(bench, workers, () => undefined)
    const asker = await RpcAsker.open(bench)
    const answering = asker.ask(questions, 'q')
    await eventually(() => worker.heard.length === 1, { what: 'the question' })
    const [request] = worker.heard
    const { correlationId, replyTo } = request!.properties
    const client = await bench.client()
    const instance = String(correlationId).split('-')[0]
    for (const wrong of [undefined, 'x', `${instance}-0-zz`, `${instance}-7-1`, `${'0'.repeat(24)}-0-1`]) {
      client.sendToQueue(replyTo, Buffer.from('wrong'), wrong === undefined ? {} : { correlationId: wrong })
    }
    await eventually(() => exchange().unknown === 5, { what: 'the strange replies' })
    worker.reply(request!, 'right')
    expect((await answering).text).toBe('right')
    await eventually(() => gateway!.letters().length === 5, { what: 'their dead letters' })
    expect(new Set(reasons())).toEqual(new Set(['late-reply']))
  })

  test('a request without a reply address is a dead letter, and is not asked', async () => {
    await asking()
    const { heard } = await rpcReplier(bench, workers, (text) => text)
    ;(await bench.client()).sendToQueue(questions, Buffer.from('whisper'))
    await eventually(() => reasons().includes('unanswered'), { what: 'its dead letter' })
    expect(heard).toEqual([])
    const [letter] = gateway!.letters()
    expect(letter?.error.code).toBe('REPLY_ADDRESS_MISSING')
    expect(gateway!.gateway.workbench.requeue({}, { limit: 10 }, 'test')).toMatchObject({ done: 0 })
  })

  test('a reply whose asker is gone is kept, and the request is settled', async () => {
    await asking()
    const gone = await bench.queue()
    const worker = await rpcReplier(bench, workers, () => undefined)
    void (await RpcAsker.open(bench, gone)).ask(questions, 'q')
    await eventually(() => worker.heard.length === 1, { what: 'the question' })
    await (await bench.client()).deleteQueue(gone)
    worker.reply(worker.heard[0]!, 'too bad')
    await eventually(() => reasons().includes('late-reply'), { what: 'the dead letter' })
    await settled()
    expect(exchange()).toMatchObject({ replies: 1, late: 1, returned: 0 })
    expect(await bench.depth(questions)).toBe(0)
  })

  test('a request that its target refuses for good is a dead letter, and its asker hears why', async () => {
    gateway = await asking('{ timeout: 20s }', ['set: { payload.x: payload.y }'])
    const answer = await (await RpcAsker.open(bench)).ask(questions, '{}')
    expect(answer.headers['trivium-error']).toBe('TRANSFORM_FAILED')
    expect(answer.headers['trivium-error-message']).toMatch(/payload\.y/)
    await eventually(() => reasons().includes('transform'), { what: 'the dead letter' })
    await settled()
    expect(gateway.route('ask').deadLetteredTotal).toBe(1)
  })

  test('that the rules let go nowhere is not silent', async () => {
    await asking('{ timeout: 20s }', ["when: payload.wanted == 'yes'"])
    const answer = await (await RpcAsker.open(bench)).ask(questions, '{}')
    expect(answer.headers['trivium-error']).toBe('MESSAGE_UNWANTED')
    await settled()
    expect(gateway!.route('ask')).toMatchObject({ filtered: 1, inFlight: 0 })
  })

  test('beyond maxOutstanding requests wait at their source, and none is lost', async () => {
    await asking('{ timeout: 20s, maxOutstanding: 3 }')
    const release = Promise.withResolvers<void>()
    const { heard } = await rpcReplier(bench, workers, async (text) => {
      await release.promise
      return text
    })
    const asker = await RpcAsker.open(bench)
    const answering = Promise.all(Array.from({ length: 20 }, (_, n) => asker.ask(questions, `${n}`)))
    await eventually(() => exchange().refused === 17 && heard.length === 3, { what: 'three to be asked' })
    expect(exchange().outstanding).toBe(3)
    release.resolve()
    expect((await answering).map(({ text }) => text)).toEqual(Array.from({ length: 20 }, (_, n) => `${n}`))
  })

  test('a gateway that stops tells those who wait', async () => {
    const stopping = await asking()
    const worker = await rpcReplier(bench, workers, () => undefined)
    const answering = (await RpcAsker.open(bench)).ask(questions, 'q')
    await eventually(() => worker.heard.length === 1, { what: 'the question' })
    await stopping.stop()
    gateway = undefined
    expect((await answering).headers['trivium-error']).toBe('GATEWAY_STOPPING')
    expect(await bench.depth(questions)).toBe(0)
  })

  test('whose connection is lost while it is outstanding is asked again, and answered', async () => {
    const { hostname, port, username, password } = new URL(brokerAddresses().amqp)
    expect(hostname).toMatch(/^(127\.0\.0\.1|localhost)$/)
    const proxy = await startProxy(Number(port || 5672))
    bench.later(() => proxy.close())
    gateway = await start('{ timeout: 60s }', [], `amqp://${username}:${password}@127.0.0.1:${proxy.port}`)
    let isQuiet = true
    const worker = await rpcReplier(bench, workers, () => (isQuiet ? undefined : 'again'))
    const asker = await RpcAsker.open(bench)
    const answering = asker.ask(questions, 'q')
    await eventually(() => worker.heard.length === 1, { what: 'the question' })
    isQuiet = false
    proxy.reset()
    worker.reply(worker.heard[0]!, 'while it was away')
    expect(['while it was away', 'again']).toContain((await answering).text)
    await eventually(() => gateway!.route('ask').matched === 2, { what: 'the question again' })
    await settled()
    await eventually(async () => (await bench.depth(questions)) === 0, { what: 'no question left' })
    expect(exchange().returned).toBeGreaterThanOrEqual(2)
    expect(gateway.letters()).toEqual([])
  })

  test('of one gateway is none of another on the same queues', async () => {
    const others = await Promise.all([start('{ timeout: 20s }', []), start('{ timeout: 20s }', [])])
    try {
      await asking()
      await rpcReplier(bench, workers, (text) => text)
      const asker = await RpcAsker.open(bench)
      const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => asker.ask(questions, `${n}`)))
      expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 300 }, (_, n) => `${n}`))
      expect(asker.strangers).toEqual([])
      const all = [gateway!, ...others]
      await eventually(() => all.every((each) => each.route('ask').inFlight === 0), { what: 'all to be settled' })
      const returned = all.map((each) => each.route('ask').exchange!.returned)
      expect(returned.reduce((sum, count) => sum + count)).toBe(300)
      expect(Math.min(...returned)).toBeGreaterThan(0)
    } finally {
      await Promise.all(others.map((each) => each.stop()))
    }
  })
})
