/** Brokers that tell their clients an address which cannot be reached from here. */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import { expect } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { type Scope, scenario } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { portOf } from '../support/places/connections.ts'
import { amqpPlace, kafkaPlace, sharedAddress } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

/** A name that no resolver knows, as long as that of the shared broker: lengths stand before texts on the wire. */
const [host, nameless] = ['127.0.0.1', 'k.invalid']

/** The shared broker, which advertises the other name to those who come this way. Gives its port. */
async function elsewhere(scope: Scope): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const broker = connect(portOf(sharedAddress('kafka')), '127.0.0.1')
    const rename = new Transform({
      transform: (chunk: Buffer, _, done) =>
        done(null, Buffer.from(chunk.toString('latin1').replaceAll(host, nameless), 'latin1')),
    })
    client.pipe(broker)
    broker.pipe(rename).pipe(client)
    for (const socket of [client, broker]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        broker.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

for (const role of ['source', 'sink'] as const) {
  scenario(
    `a ${role} whose brokers advertise a name that cannot be resolved is not connected, and says whose name it is`,
    async (scope) => {
      const [port, topic, queue] = [await elsewhere(scope), await kafkaPlace(), await amqpPlace()]
      const kafka = `{ protocol: kafka, brokers: ["127.0.0.1:${port}"] }`
      const [from, to] = role === 'source' ? [topic, queue] : [queue, topic]
      const gateway = scope.gateway(`
gateway: { id: ${unique('t')}, drain: 1s, admin: false }
connections: { source: ${role === 'source' ? kafka : from.connection}, target: ${role === 'sink' ? kafka : to.connection} }
routes: [{ name: road, from: { connection: source, ${from.from} }, to: [{ connection: target, ${to.to} }] }]
`)
      const link = gateway.link(role === 'source' ? 'source' : 'target', role)
      const error = await eventually(() => link.error, { what: 'an error', withinMs: 10_000 })
      const advertised = `${nameless}:${portOf(brokerAddresses().kafka[0]!)}`
      expect(error).toContain(`ENOTFOUND ${nameless}`)
      expect(error).toContain(`the broker at 127.0.0.1:${port} advertises ${advertised}: its advertised.listeners must`)
      await eventually(() => link.reconnects >= 2, { what: 'further attempts' })
      expect(
        gateway.lines.filter(
          ({ message }) => message.includes(`connected as ${role}`) && message.startsWith(link.connection),
        ),
      ).toEqual([])
    },
  )
}
