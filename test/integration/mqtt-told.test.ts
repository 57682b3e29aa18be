/** What the log says of an MQTT connection that is no error of anybody here: who took it over, where a broker listens, what comes back. */
import { randomUUID } from 'node:crypto'
import net from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { connectAsync } from 'mqtt'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { eventually } from '../support/poll.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function gateway(yaml: string): TestGateway {
  const started = new TestGateway(yaml)
  cleanups.push(() => started.stop())
  return started
}

const said = ({ lines }: TestGateway, pattern: RegExp) => lines.some(({ message }) => pattern.test(message))

/** The port that the system chose, from the log. */
async function portOf(started: TestGateway): Promise<number> {
  const listens = /^devices listens on mqtt:\/\/127\.0\.0\.1:(\d+)$/
  await eventually(() => said(started, listens), { what: 'the log names the port' })
  return Number(started.lines.map(({ message }) => listens.exec(message)?.[1]).find((port) => port !== undefined))
}

test.each([4, 5])(
  'two gateways with one id at a broker, MQTT version %d: each is told of the other',
  async (version) => {
    const id = `twin-${randomUUID().slice(0, 8)}`
    const yaml = `
gateway: { id: ${id}, drain: 100ms }
connections: { plant: { protocol: mqtt, url: "${brokerAddresses().mqtt}", protocolVersion: ${version}, clean: true } }
routes: [{ name: r, from: { connection: plant, topic: "${id}/a" }, to: [{ connection: plant, topic: "${id}/b" }] }]
`
    const first = await gateway(yaml).ready()
    const second = gateway(yaml)
    const hint = /two gateways with one gateway\.id\?; trying again$/
    await eventually(() => said(first, hint) || said(second, hint), { what: 'the hint' })
  },
)

test('a broker that closes before it answers: is it MQTT, does it want TLS', async () => {
  const server = net.createServer((socket) => socket.on('error', () => {}).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  const { port } = server.address() as net.AddressInfo
  const started = gateway(`
gateway: { drain: 100ms }
connections: { plant: { protocol: mqtt, url: "mqtt://127.0.0.1:${port}" } }
routes: [{ name: r, from: { connection: plant, topic: a }, to: [{ connection: plant, topic: b }] }]
`)
  const hint = /closed the connection before it answered CONNECT; does it speak MQTT, does it want TLS \(mqtts:\/\/\)\?/
  await eventually(() => said(started, hint), { what: 'the hint' })
})

test('an embedded broker with port 0 names its port; what a route sends there comes back to no route', async () => {
  const started = gateway(`
gateway: { drain: 1s }
connections: { devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:0" } }
routes: [{ name: mirror, from: { connection: devices, topic: "#" }, to: [{ connection: devices, topic: "mirror/{payload.n}" }] }]
`)
  const client = await connectAsync(`mqtt://127.0.0.1:${await portOf(started)}`)
  cleanups.push(() => client.endAsync(true))
  const got: string[] = []
  client.on('message', (topic) => void got.push(topic))
  await client.subscribeAsync('mirror/#', { qos: 1 })
  await client.publishAsync('a', '{"n":1}', { qos: 1 })
  await client.publishAsync('b', '{"n":2}', { qos: 1 })
  await eventually(() => got.length === 2 && started.route('mirror').delivered === 2, { what: 'two mirrored' })
  expect(got).toEqual(['mirror/1', 'mirror/2'])
  expect(started.route('mirror').matched).toBe(2)
})
