/** A retry loop through RabbitMQ's dead-letter exchange: what the gateway counts, and what it adds, at each pass. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { GetMessage } from 'amqplib'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench } from '../support/contexts/amqp.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'

let bench: Bench
let gateway: TestGateway | undefined
beforeEach(() => {
  bench = new Bench()
})
afterEach(async () => {
  await gateway?.stop()
  await bench.end()
})

/** Bytes of all but what RabbitMQ writes and the ids of the gateways passed, which are to grow: a loop is found by them. */
function headerBytes({ properties }: GetMessage): number {
  const { 'trivium-hops': _, 'x-death': __, 'x-delivery-count': ___, ...headers } = properties.headers ?? {}
  return JSON.stringify(headers).length
}

test.each(['classic', 'quorum'])(
  'a %s work queue: retryCount counts every pass and the headers do not grow',
  async (type) => {
    const parked = await bench.queue()
    const failed = await bench.queue()
    const deadLetters = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': parked, 'x-queue-type': type }
    const work = await bench.queue({ arguments: deadLetters })
    gateway = await new TestGateway(`
gateway: { id: ${unique('retry')}, admin: false }
connections:
  rabbit: { protocol: amqp, url: "${brokerAddresses().amqp}" }
routes:
  - name: retry
    from: { connection: rabbit, queue: ${parked} }
    match: first
    to:
      - { connection: rabbit, queue: ${work}, when: "headers.retryCount < 4", declare: false }
      - { connection: rabbit, queue: ${failed}, declare: false }
`).ready()
    const client = await bench.client()
    const take = (queue: string) => eventually(() => client.get(queue), { what: `a message in ${queue}` })
    client.sendToQueue(work, Buffer.from('job'), { persistent: true, headers: { h: 1 } })
    client.reject(await take(work), false)
    const bytes: number[] = []
    for (const pass of ['1', '2', '3']) {
      const message = await take(work)
      expect(message.properties.headers).toMatchObject({ h: 1, cloudEvents_trvretry: pass })
      bytes.push(headerBytes(message))
      client.reject(message, false)
    }
    expect(new Set(bytes).size).toBe(1)
    const last = await take(failed)
    expect(last.properties.headers).toMatchObject({ cloudEvents_trvretry: '4' })
    expect(headerBytes(last)).toBe(bytes[0])
  },
)
