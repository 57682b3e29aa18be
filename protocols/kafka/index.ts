import { parseHostPort } from '../../src/adapter/address.ts'
import { isLoopback } from '../../src/adapter/loopback.ts'
import { defineProtocol } from '../../src/adapter/protocol.ts'
import { hasZstd } from './client/compression.ts'
import { KafkaConnection, KafkaFrom, KafkaTarget, topicsOf } from './config.ts'
import { replyTarget } from './conversation.ts'
import { topicDestination } from './destination.ts'
import { ReplySource } from './replies.ts'
import { KafkaSink } from './sink.ts'
import { KafkaSource } from './source.ts'

export const kafka = defineProtocol<KafkaConnection, KafkaFrom, KafkaTarget>({
  name: 'kafka',
  summary: 'Apache Kafka 2.4 and later, and what speaks its protocol.',
  connection: KafkaConnection,
  defaultFormat: 'binary',
  checkConnection: (connection) => {
    if (connection.compression === 'zstd' && !hasZstd) return [zstdIsMissing]
    if (connection.sasl?.mechanism !== 'plain' || connection.tls || connection.brokers.every(isHere)) return []
    const message = 'plain sends the password readable by anyone on the way: add tls, or use scram-sha-512'
    return [{ path: ['sasl', 'mechanism'], message }]
  },
  source: {
    schema: KafkaFrom,
    patterns: (from) => topicsOf(from).map((text) => ({ text, separator: '.' })),
    group: (from) => from.group ?? '',
    create: (connection, froms, context) => new KafkaSource(connection, froms, context),
    defaultAcknowledge: 'delivered',
    asks: { replyTo: replyTarget },
  },
  sink: {
    schema: KafkaTarget,
    destinations: { topic: topicDestination },
    plainTemplates: ['key'],
    address: (target) => target.topic,
    lasting: (target) => target.topic,
    targetOf: (destination, key) => (key === undefined ? { topic: destination } : { topic: destination, key }),
    create: (connection, context) => new KafkaSink(connection, context),
  },
  replies: {
    address: ({ replyTopic }) => replyTopic,
    create: (connection, context, place) => new ReplySource(connection, context, place),
    isShared: true,
  },
})

const zstdIsMissing = {
  path: ['compression'],
  message: `zstd needs Node 22.15 or newer, this is ${process.version}: use gzip, or install a newer one`,
}

const isHere = (broker: string): boolean => isLoopback(parseHostPort(broker).host)
