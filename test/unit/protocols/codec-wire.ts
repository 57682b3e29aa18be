/** Each protocol's codec with the real encoder and parser of its driver in between, without a broker. */
import { createServer, request } from 'node:http'
import { duplexPair } from 'node:stream'
import type { ConsumeMessage } from 'amqplib'
import type { IPublishPacket } from 'mqtt'
import mqttPacket from 'mqtt-packet'
import { propertiesBytes } from '../../../protocols/amqp/client/publish-writer.ts'
import { readProperties } from '../../../protocols/amqp/client/reader.ts'
import * as amqp from '../../../protocols/amqp/codec.ts'
import * as http from '../../../protocols/http/codec.ts'
import { decodeBatches } from '../../../protocols/kafka/client/record-set.ts'
import * as kafka from '../../../protocols/kafka/codec.ts'
import * as mqtt from '../../../protocols/mqtt/codec.ts'
import type { Envelope, Format } from '../../../src/envelope/envelope.ts'
import { encodeBatch, recordsOf } from './kafka/batches.ts'

/** Sends an envelope through a protocol and gives what arrives. */
export interface Wire {
  readonly name: string
  readonly carry: (envelope: Envelope, nowMs: number) => Promise<Envelope>
}

function outbound(envelope: Envelope, format: Format) {
  return { envelope, target: { key: undefined }, format }
}

export function throughMqtt(packet: Partial<IPublishPacket>, version: 4 | 5): IPublishPacket {
  const options = { protocolVersion: version } as { protocolVersion: 4 }
  const whole = { cmd: 'publish', topic: 'sensors/7', qos: 0, retain: false, dup: false, ...packet } as IPublishPacket
  const parser = mqttPacket.parser(options)
  let received: unknown
  parser.on('packet', (each) => {
    received = each
  })
  parser.on('error', (error) => {
    throw error
  })
  parser.parse(mqttPacket.generate(whole as mqttPacket.IPublishPacket, options))
  if (received === undefined) throw new Error('the parser gave no packet')
  return received as IPublishPacket
}

export function mqttWire(version: 4 | 5, format: Format): Wire {
  const at = { connection: 'devices', version, ...(version === 4 ? { format } : {}) }
  return {
    name: `mqtt ${version} ${format}`,
    async carry(envelope, nowMs) {
      const { payload, properties } = mqtt.encode(outbound(envelope, format), version, nowMs)
      return mqtt.decode(throughMqtt({ payload, ...(properties && { properties }) }, version), at)
    },
  }
}

export function throughAmqp({ content, options }: ReturnType<typeof amqp.encode>): ConsumeMessage {
  const properties = readProperties(propertiesBytes(options))
  return { content, properties, fields: {} } as unknown as ConsumeMessage
}

export function amqpWire(format: Format): Wire {
  return {
    name: `amqp ${format}`,
    async carry(envelope, nowMs) {
      const message = throughAmqp(amqp.encode(outbound(envelope, format), nowMs))
      return amqp.decode(message, { connection: 'orders', queue: 'alarms' })
    },
  }
}

export function kafkaWire(format: Format): Wire {
  return {
    name: `kafka ${format}`,
    async carry(envelope, nowMs) {
      const out = kafka.encode(outbound(envelope, format), nowMs)
      const set = await encodeBatch([out])
      const [batch] = decodeBatches(set)
      if (batch === undefined) throw new Error('no batch')
      const [read] = recordsOf(batch)
      if (read === undefined) throw new Error('no record')
      return kafka.decode(read, { connection: 'events', topic: 'telemetry', partition: 3 })
    },
  }
}

const server = createServer()

/** As a request through Node's own writer and parser. */
export async function throughHttp({ headers, body }: http.HttpMessage): Promise<http.HttpMessage> {
  const [near, far] = duplexPair()
  const received = new Promise<http.HttpMessage>((resolve) => {
    server.once('request', async (incoming) => {
      const chunks: Buffer[] = []
      for await (const chunk of incoming) chunks.push(chunk as Buffer)
      resolve({ headers: incoming.rawHeaders, body: Buffer.concat(chunks) })
      near.destroy()
      far.destroy()
    })
  })
  server.emit('connection', far)
  const own = ['host', 'localhost', 'content-length', String(body.byteLength)]
  const outgoing = request({ createConnection: () => near as never, method: 'POST', headers: [...own, ...headers] })
  outgoing.on('error', () => {}) // nobody answers it
  outgoing.end(body)
  return received
}

export function httpWire(format: Format): Wire {
  return {
    name: `http ${format}`,
    async carry(envelope, nowMs) {
      const message = await throughHttp(http.encode(outbound(envelope, format), nowMs))
      return http.decode(message, { connection: 'api', address: '/alarms' })
    },
  }
}
