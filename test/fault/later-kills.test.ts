/** The gateway dies in every phase of a request whose answer is fetched later: whoever was answered 202 gets the answer. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { rpcReplier } from '../support/contexts/amqp-rpc.ts'
import { GatewayProcess } from '../support/fault/gateway-process.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

let bench: Bench
let gateway: GatewayProcess | undefined
beforeEach(() => {
  bench = new Bench()
})
afterEach(async () => {
  await gateway?.remove()
  await bench.end()
})

test('before it is asked, before the reply, before that is on disk, and before it is fetched', async () => {
  const workers = await bench.queue()
  const api = `http://127.0.0.1:${await freePort()}`
  gateway = await GatewayProcess.create(`
gateway: { id: later, drain: 200ms }
connections:
  orders: { protocol: amqp, url: "${brokerAddresses().amqp}" }
  api: { protocol: http, listen: "${api}", answerTimeout: 2m }
routes:
  - name: ask
    from: { connection: api, path: /ask }
    to: [{ connection: orders, queue: ${workers} }]
    request: { timeout: 60s }
`)
  const ask = async (body: string) => {
    const response = await fetch(`${api}/ask`, { method: 'POST', body, headers: { prefer: 'respond-async' } })
    expect(response.status).toBe(202)
    return `${api}${response.headers.get('location')}`
  }
  const answer = async (location: string) => await (await fetch(`${location}?wait=60s`)).text()
  let answered: readonly string[] = ['2']
  const { heard } = await rpcReplier(bench, workers, (text) => (answered.includes(text) ? `${text}!` : undefined))
  const all = () => heard.map(({ content }) => content.toString()).sort()

  await gateway.start({ env: { TRIVIUM_FAILPOINT: 'send.before' } })
  const first = await ask('1')
  expect(await gateway.ended).toMatchObject({ signal: 'SIGKILL' })
  expect(all()).toEqual([])

  await gateway.start({ env: { TRIVIUM_FAILPOINT: 'session.before-commit:2' } }) // its first is the request
  await eventually(() => heard.length === 1, { what: 'the first to be asked' })
  const second = await ask('2')
  expect(await gateway.ended).toMatchObject({ signal: 'SIGKILL' })
  expect(all()).toEqual(['1', '2'])

  answered = ['1', '2']
  await gateway.start()
  const areSettled = async () => (await gateway!.routes())[0]?.delivered === 2
  await eventually(areSettled, { what: 'the replies to be on disk' })
  await gateway.kill()

  answered = []
  await gateway.start()
  expect(await Promise.all([first, second].map(answer))).toEqual(['1!', '2!'])
  expect(all()).toEqual(['1', '1', '2', '2'])
})
