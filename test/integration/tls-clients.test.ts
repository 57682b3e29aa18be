/** Every protocol's client side: which certificates it trusts, and which of its own it shows. */

import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { amqp } from '../../protocols/amqp/index.ts'
import { kafka } from '../../protocols/kafka/index.ts'
import { mqtt } from '../../protocols/mqtt/index.ts'
import { Authority, type Pair } from '../support/brokers/certificates.ts'
import { testContext } from '../support/contexts/context.ts'
import { never } from '../support/contexts/messages.ts'

let authority: Authority
let stranger: Authority
const folder = mkdtempSync(join(tmpdir(), 'trivium-tls-clients-'))
beforeAll(() => {
  authority = new Authority()
  stranger = new Authority('stranger')
})
afterAll(() => {
  authority.end()
  stranger.end()
  rmSync(folder, { recursive: true })
})
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

const clients = {
  mqtt: (port: number, tls: object) => mqtt.connection.parse({ url: `mqtts://localhost:${port}`, tls }),
  wss: (port: number, tls: object) => mqtt.connection.parse({ url: `wss://localhost:${port}/`, tls }),
  amqp: (port: number, tls: object) => amqp.connection.parse({ url: `amqps://u:p@localhost:${port}`, tls }),
  kafka: (port: number, tls: object) => kafka.connection.parse({ brokers: [`localhost:${port}`], tls }),
}
type Client = keyof typeof clients
const names = Object.keys(clients) as Client[]

function sinkOf(name: Client, settings: unknown, context = testContext('devices')) {
  if (name === 'amqp') return amqp.sink!.create(settings as never, context)
  return name === 'kafka'
    ? kafka.sink!.create(settings as never, context)
    : mqtt.sink!.create(settings as never, context)
}

/** A port that shows the certificate and hangs up on who accepts it; `guests` are those, by their certificate's name. */
async function listen({ cert, key }: Pair): Promise<{ port: number; guests: string[] }> {
  const guests: string[] = []
  const own = { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(authority.ca) }
  const server = createServer({ ...own, requestCert: true, rejectUnauthorized: false }, (socket: TLSSocket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      guests.push(String(socket.getPeerCertificate().subject?.CN))
      socket.destroy()
    })
  })
  server.on('tlsClientError', () => {})
  await once(server.listen(0, 'localhost'), 'listening')
  servers.push(server)
  return { port: (server.address() as AddressInfo).port, guests }
}

describe.each(names)('%s', (name) => {
  test.each([
    ['an expired', () => authority.issue({ days: -1 }), /expired/],
    ['another host’s', () => authority.issue({ names: 'DNS:other.test', cn: 'other.test' }), /altnames|does not match/],
    ['a self-signed', () => authority.selfSigned(), /self-signed/],
    ['a strange authority’s', () => stranger.issue(), /unable to (verify|get)/],
  ])('%s certificate is refused, nothing is said to who shows it, and the error says why', async (_kind, pair, why) => {
    const { port, guests } = await listen(pair())
    const sink = sinkOf(name, clients[name](port, { ca: authority.ca }))
    const error = await sink.open(never).catch((reason: unknown) => reason)
    await sink.close()
    expect(error).toMatchObject({ code: 'PEER_UNREACHABLE', retryable: true, message: expect.stringMatching(why) })
    expect(guests).toEqual([])
  })

  test('the next connect shows the certificate its files hold by then; unusable files leave the one before', async () => {
    const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
    const put = (pair: Pair) => {
      copyFileSync(pair.cert, cert)
      copyFileSync(pair.key, key)
    }
    const [first, second] = [authority.issue({ cn: 'first' }), authority.issue({ cn: 'second' })]
    const { port, guests } = await listen(authority.issue())
    const context = testContext('devices')
    put(first)
    const sink = sinkOf(name, clients[name](port, { ca: authority.ca, cert, key }), context)
    const connect = async () => {
      await expect(sink.open(never)).rejects.toMatchObject({ retryable: true })
      await sink.close()
    }
    const warnings = () => context.lines.filter(({ message }) => /earlier certificates stay/.test(message))
    await connect()
    put(second)
    await connect()
    expect(warnings()).toEqual([])
    copyFileSync(first.key, key)
    await connect()
    expect(warnings()).toMatchObject([
      { level: 'warn', fields: { error: `${key} is not the key of the certificate ${cert}` } },
    ])
    rmSync(key)
    await connect()
    writeFileSync(cert, 'no certificate')
    await connect()
    expect(new Set(guests.slice(1))).toEqual(new Set(['second']))
    expect(guests[0]).toBe('first')
    expect(warnings()).toHaveLength(3)
  })

  test('files that cannot be used at the first connect are a permanent error', async () => {
    const [first, second] = [authority.issue(), authority.issue()]
    const open = async (tls: object) => {
      const opening = async () => {
        const sink = sinkOf(name, clients[name](1, tls))
        await sink.open(never).finally(() => sink.close())
      }
      return await opening().catch((error: unknown) => error)
    }
    expect(await open({ ca: join(folder, 'absent.pem') })).toMatchObject({ code: 'FILE_MISSING', retryable: false })
    expect(await open({ cert: first.cert, key: second.key })).toMatchObject({
      code: 'CONFIG_INVALID',
      retryable: false,
    })
  })
})
