/** What the tests of stored routes share: sources of every kind that say what they still own, and roads that are stored. */

import { expect } from '@jest/globals'
import amqplib from 'amqplib'
import mqtt from 'mqtt'
import { readinessView } from '../../../src/admin/views.ts'
import { brokerAddresses } from '../brokers/addresses.ts'
import { GatewayProcess } from '../fault/gateway-process.ts'
import { unique } from '../names.ts'
import { committed, keyOf, type Place, placeAt, queueDepth } from '../places/places.ts'
import { eventually } from '../poll.ts'
import { freePort } from '../ports.ts'
import type { TestGateway } from './gateway.ts'
import { roadBetween } from './road.ts'
import type { Scope } from './scenario.ts'

export const sourceNames = ['mqtt', 'embedded', 'amqp', 'kafka'] as const
export type SourceName = (typeof sourceNames)[number]

/** Where messages come from. */
export interface Inlet {
  readonly connection: string
  readonly from: string
  /** Resolves when the broker, or the embedded broker, has them. */
  send(texts: readonly string[]): Promise<void>
  /** Resolves when the source's side owns none of so many messages, ever sent. */
  acknowledged(count: number): Promise<void>
}

/** Longest wait for something that is sure to happen. */
export const patientMs = 60_000

export async function inletOf(scope: Scope, name: SourceName): Promise<Inlet> {
  if (name === 'embedded') return embeddedInlet(scope)
  const place = await placeAt(name)
  const sender = await scope.use(place.sender())
  const { connection, from } = place
  return {
    connection,
    from,
    send: (texts) => sender.send(texts),
    acknowledged: (count) => owesNothing[name](place, count),
  }
}

const owesNothing: Record<'mqtt' | 'amqp' | 'kafka', (place: Place, count: number) => Promise<void>> = {
  mqtt: async () => {}, // Mosquitto does not tell; what is not acknowledged comes again at the next start
  amqp: async ({ name }) => {
    await eventually(async () => (await queueDepth(name)) === 0, { withinMs: patientMs, what: 'an empty queue' })
  },
  kafka: async (place, count) => {
    const isCommitted = async () => (await committed(place)) === count
    await eventually(isCommitted, { withinMs: patientMs, what: `${count} messages committed` })
  },
}

/** `send` waits for the PUBACKs of the gateway itself. */
async function embeddedInlet(scope: Scope): Promise<Inlet> {
  const url = `mqtt://127.0.0.1:${await freePort()}`
  return {
    connection: `{ protocol: mqtt, listen: "${url}" }`,
    from: 'topic: "dev/{key}", qos: 1',
    async send(texts) {
      const device = await mqtt.connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 }, false)
      scope.after(() => device.endAsync(true))
      await Promise.all(texts.map((text) => device.publishAsync(`dev/${keyOf(text)}`, text, { qos: 1 })))
      await device.endAsync()
    },
    acknowledged: async () => {},
  }
}

/** Connections and one stored route; see `inProcess` and `program` for what stands above them. */
export const road = (
  source: Pick<Inlet, 'connection' | 'from'>,
  target: Pick<Place, 'connection' | 'to'>,
  more = '',
): string => roadBetween(source, target, 'acknowledge: stored', more)

/** For the real program; it is removed at the end. */
export async function program(scope: Scope, yaml: string): Promise<GatewayProcess> {
  const process = await GatewayProcess.create(`gateway: { id: ${unique('t')} }\n${yaml}`)
  scope.after(() => process.remove())
  return process
}

export const sourceIsUp = (gateway: TestGateway): Promise<unknown> =>
  eventually(() => gateway.link('source', 'source').state === 'up', { withinMs: patientMs, what: 'the source' })

/** The gateway takes messages in, and says that they wait for a target that is away. */
export function expectBuffering(gateway: TestGateway, messages: number): void {
  expect(readinessView(gateway.gateway.status())).toMatchObject({
    status: 'ready',
    waitingFor: [],
    away: [{ connection: 'target', role: 'sink', reason: expect.stringMatching(/ECONNREFUSED|refused|connect/i) }],
    stored: [{ route: 'road', messages }],
  })
}

/** Messages with properties, for a queue. */
export interface Letter {
  readonly text: string
  readonly properties?: amqplib.Options.Publish
}

/** Sends to a queue with properties that `Sender` has no words for. */
export async function sendLetters(queue: string, letters: readonly Letter[]): Promise<void> {
  const connection = await amqplib.connect(brokerAddresses().amqp)
  try {
    const channel = await connection.createConfirmChannel()
    for (const { text, properties } of letters) channel.sendToQueue(queue, Buffer.from(text), properties)
    await channel.waitForConfirms()
  } finally {
    await connection.close()
  }
}
