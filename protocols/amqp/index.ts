import { type DestinationKind, defineProtocol } from '../../src/adapter/protocol.ts'
import {
  AmqpConnectionConfig,
  AmqpFromConfig,
  type AmqpTarget,
  AmqpTargetConfig,
  checkConnection,
  checkFrom,
  checkTarget,
  hasCapture,
} from './config.ts'
import { encodeWord, shortStringProblem } from './destination.ts'
import { replyFrom, replyQueueOf, replyTo } from './replies.ts'
import { AmqpSink } from './sink.ts'
import { AmqpSource } from './source.ts'

export type { AmqpConnectionConfig, AmqpFromConfig, AmqpTarget } from './config.ts'

const word = { encode: encodeWord, separator: '.' } as const // names are dotted as keys are: RabbitMQ's own custom
const routingKey: DestinationKind = { ...word, check: (text) => shortStringProblem(text, 0) }
const name: DestinationKind = { ...word, check: (text) => shortStringProblem(text, 1) }

export const amqp = defineProtocol<AmqpConnectionConfig, AmqpFromConfig, AmqpTarget>({
  name: 'amqp',
  summary: 'AMQP 0-9-1, as RabbitMQ speaks it: queues as sources, exchanges and queues as targets.',
  connection: AmqpConnectionConfig,
  defaultFormat: 'binary',
  checkConnection,
  source: {
    schema: AmqpFromConfig,
    check: checkFrom,
    patterns: (from) => [{ text: from.queue, separator: undefined }],
    subjectPattern: (from) =>
      from.bind !== undefined && hasCapture(from)
        ? { text: from.bind.routingKey, separator: '.', one: '*', rest: '#' }
        : undefined,
    group: (from) => from.queue,
    create: (connection, froms, context) => new AmqpSource(connection, froms, context),
    defaultAcknowledge: 'delivered',
    asks: { replyTo },
  },
  sink: {
    schema: AmqpTargetConfig,
    check: checkTarget,
    destinations: { exchange: name, routingKey, queue: name },
    plainTemplates: [],
    address: ({ exchange, routingKey = '', queue = '' }) =>
      exchange === undefined ? queue : `${exchange}/${routingKey}`,
    lasting: ({ exchange, queue }) => exchange ?? queue,
    targetOf,
    create: (connection, context) => new AmqpSink(connection, context),
  },
  replies: {
    address: (_, place) => replyQueueOf(place),
    create: (connection, context, place) => new AmqpSource(connection, [replyFrom(place)], context),
  },
})

/**
 * `exchange/routing.key`, or the name of a queue, with or without `/` before it; a key makes it an exchange. A queue must be
 * there: one that a typo made would take messages nobody reads.
 */
function targetOf(destination: string, key: string | undefined): AmqpTarget {
  if (key !== undefined) return AmqpTargetConfig.parse({ exchange: destination, routingKey: key })
  const slash = destination.indexOf('/')
  if (slash <= 0) return AmqpTargetConfig.parse({ queue: destination.slice(slash + 1), declare: false })
  return AmqpTargetConfig.parse({ exchange: destination.slice(0, slash), routingKey: destination.slice(slash + 1) })
}
