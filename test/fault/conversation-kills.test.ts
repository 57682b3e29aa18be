/** The gateway dies with requests outstanding: brokers give theirs again, an open connection breaks. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { RpcAsker, rpcReplier } from '../support/contexts/amqp-rpc.ts'
import { GatewayProcess } from '../support/fault/gateway-process.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

let bench: Bench
let gateway: GatewayProcess | undefined
beforeEach(() => {
  bench = new Bench()
})
afterEach(async () => {
  await gateway?.stop()
  await bench.end()
})

test('what was outstanding at a kill is asked again where a broker has it, and never silent elsewhere', async () => {
  const [questions, workers] = [await bench.queue(), await bench.queue()]
  const port = await freePort()
  gateway = await GatewayProcess.create(`
gateway: { id: killed, drain: 500ms }
connections:
  orders: { protocol: amqp, url: "${brokerAddresses().amqp}" }
  api: { protocol: http, listen: "http://127.0.0.1:${port}", answerTimeout: 90s }
routes:
  - name: by-broker
    from: { connection: orders, queue: ${questions} }
    to: [{ connection: orders, queue: ${workers} }]
    request: { timeout: 60s }
  - name: by-call
    from: { connection: api, method: POST, path: /ask }
    to: [{ connection: orders, queue: ${workers} }]
    request: { timeout: 60s }
`)
  await gateway.start()
  let isQuiet = true
  const { heard } = await rpcReplier(bench, workers, (text) => (isQuiet ? undefined : `${text}!`))
  const asker = await RpcAsker.open(bench)
  const answering = Promise.all(Array.from({ length: 20 }, (_, n) => asker.ask(questions, `q${n}`)))
  const calling = fetch(`http://127.0.0.1:${port}/ask`, { method: 'POST', body: 'call' }).then(
    () => 'answered',
    () => 'reset',
  )
  await eventually(() => heard.length === 21, { what: 'all to be asked' })
  await gateway.kill()
  expect(await calling).toBe('reset')
  isQuiet = false
  await gateway.start()
  expect((await answering).map(({ text }) => text)).toEqual(Array.from({ length: 20 }, (_, n) => `q${n}!`))
  expect(asker.strangers).toEqual([])
  const tokens = heard.map(({ properties }) => properties.correlationId)
  expect(new Set(tokens).size).toBe(41)
  await eventually(async () => (await bench.depth(questions)) === 0, { what: 'no request left' })
})
