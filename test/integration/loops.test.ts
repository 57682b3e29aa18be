/** Two gateways that send to each other: what a static look at one configuration cannot see. */
import { randomUUID } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { connectAsync } from 'mqtt'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { eventually } from '../support/poll.ts'

test('a message that goes round between two gateways is a dead letter after some rounds', async () => {
  const topic = `loop-${randomUUID().slice(0, 8)}`
  const bridge = (from: string, to: string) =>
    new TestGateway(`
gateway: { id: ${topic}-${from} }
connections: { plant: { protocol: mqtt, url: "${brokerAddresses().mqtt}", clean: true } }
routes: [{ name: r, from: { connection: plant, topic: "${topic}/${from}" }, to: [{ connection: plant, topic: "${topic}/${to}" }] }]
`).ready()
  const gateways = await Promise.all([bridge('a', 'b'), bridge('b', 'a')])
  const client = await connectAsync(brokerAddresses().mqtt)
  try {
    await client.publishAsync(`${topic}/a`, 'round and round', { qos: 1 })
    const letters = () => gateways.flatMap((gateway) => gateway.letters())
    await eventually(() => letters().length === 1, { what: 'the dead letter' })
    expect(letters()[0]).toMatchObject({ error: { code: 'MESSAGE_LOOPING' } })
    expect(gateways.reduce((sum, gateway) => sum + gateway.route('r').matched, 0)).toBeLessThanOrEqual(2 * (8 + 2))
  } finally {
    await client.endAsync(true)
    await Promise.all(gateways.map((gateway) => gateway.stop()))
  }
})
