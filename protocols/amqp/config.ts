import { z } from 'zod'
import { passwordProblems } from '../../src/adapter/address.ts'
import type { SettingsProblem } from '../../src/adapter/protocol.ts'
import { address, clientTls, secret, size, timeLimit } from '../../src/adapter/schema.ts'
import { parameterProblems } from './client/parameters.ts'

const name = () => z.string().min(1)
const tableArguments = () => z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
const exchangeType = () => z.enum(['direct', 'fanout', 'topic', 'headers'])

export const AmqpConnectionConfig = z.strictObject({
  url: address({ schemes: ['amqp', 'amqps'], example: 'amqp://localhost:5672' }).meta({
    description:
      'Broker address, with the virtual host as its path: amqp://user:password@host:5672/vhost. `?heartbeat=10` (seconds, before the key of that name), `channel_max` and `frame_max` may follow.',
    examples: ['amqp://guest:guest@localhost:5672'],
  }),
  username: z.string().min(1).optional().meta({ description: 'User, instead of the one in `url`.' }),
  password: secret()
    .optional()
    .meta({ description: 'Password, instead of the one in `url`; not percent-encoded.', secret: true }),
  heartbeat: timeLimit()
    .refine((ms) => ms >= 1_000 && ms <= 65_535_000, { error: 'expected 1s to 65535s' })
    .prefault('10s')
    .meta({ description: 'Heartbeat interval, in whole seconds; two missed heartbeats end the connection.' }),
  tls: clientTls().optional().meta({ description: 'TLS for `amqps://`; by default the system CAs are trusted.' }),
  maxMessageSize: size().prefault('16MiB').meta({
    description:
      'Larger messages are not sent (MESSAGE_TOO_LARGE). The default equals `max_message_size` of RabbitMQ 4.',
  }),
})
export type AmqpConnectionConfig = z.infer<typeof AmqpConnectionConfig>

const QueueDeclaration = z.strictObject({
  durable: z.boolean().default(true).meta({ description: 'Survives a broker restart.' }),
  type: z
    .enum(['classic', 'quorum', 'stream'])
    .optional()
    .meta({ description: 'Queue type. Default: that of the virtual host.' }),
  arguments: tableArguments().optional().meta({ description: 'Other arguments, such as x-max-length.' }),
})
export type QueueDeclaration = z.infer<typeof QueueDeclaration>

const declareQueue = () => z.union([z.boolean(), QueueDeclaration])

const BindConfig = z.strictObject({
  exchange: name().meta({ description: 'Exchange to bind the queue to.' }),
  routingKey: z
    .string()
    .default('')
    .meta({
      description:
        'Binding key: `*` matches one word, `#` any number; `{name}` and `{name#}` match the same and set `params`.',
      examples: ['order.{type}.#'],
    }),
  arguments: tableArguments().optional().meta({
    description: 'Binding arguments; for a headers exchange, the headers to match and `x-match`.',
  }),
  exchangeType: exchangeType()
    .optional()
    .meta({ description: 'Declares a durable exchange of this type if it is missing.' }),
})

export const AmqpFromConfig = z.strictObject({
  queue: name().meta({ description: 'Queue to consume from.', examples: ['orders'] }),
  declare: declareQueue().default(false).meta({
    description: 'Declares the queue if it is missing: `true`, or its properties. An existing queue is used as is.',
  }),
  bind: BindConfig.optional().meta({
    description: 'Binding to create before consuming; it remains when the route is removed.',
  }),
  startFrom: z
    .union([z.enum(['first', 'last', 'next']), z.int().min(0), z.iso.datetime({ offset: true })], {
      error: 'expected first, last, next, an offset such as 5000, or a time such as 2026-02-03T04:05:06Z',
    })
    .optional()
    .meta({
      description:
        'Where to start reading a stream; afterwards the store keeps the position. `last` is the last chunk. Default: first.',
      examples: ['next', 5000, '2026-02-03T04:05:06Z'],
    }),
  maxInFlight: z.int().min(1).max(65_535).default(500).meta({
    description: 'Maximum unsettled messages before reading pauses; for routes that share a queue, the smallest value.',
  }),
  prefetch: z.int().min(1).max(65_535).optional().meta({
    description: 'Former name of `maxInFlight`; still accepted, and takes precedence.',
  }),
})
export type AmqpFromConfig = z.infer<typeof AmqpFromConfig>

export const AmqpTargetConfig = z.strictObject({
  exchange: name()
    .optional()
    .meta({ description: 'Exchange to publish to; either this or `queue`.', examples: ['alarms'] }),
  routingKey: z
    .string()
    .optional()
    .meta({ description: 'Routing key for `exchange`.', examples: ['alarm.{params.site}'] }),
  exchangeType: exchangeType()
    .optional()
    .meta({ description: 'Declares a durable exchange of this type if it is missing.' }),
  queue: name().optional().meta({ description: 'Queue to send to, through the default exchange.' }),
  declare: declareQueue().default(true).meta({
    description:
      'Declares `queue` if it is missing: durable by default, or with these properties; `false` never declares.',
  }),
  mandatory: z.boolean().default(true).meta({
    description: 'A message that reaches no queue becomes a dead letter; with `false` the broker drops it.',
  }),
  persistent: z.boolean().default(true).meta({ description: 'Messages survive a broker restart.' }),
})
/** The settings of one target, templates filled in. */
export type AmqpTarget = z.infer<typeof AmqpTargetConfig>

export function checkConnection(connection: AmqpConnectionConfig): SettingsProblem[] {
  const problems = [...parameterProblems(connection.url), ...passwordProblems(connection)]
  if (connection.tls === undefined || /^amqps:/i.test(connection.url)) return problems
  return [...problems, { path: ['tls'], message: 'tls requires a url that starts with amqps://' }]
}

export function checkFrom(from: AmqpFromConfig): SettingsProblem[] {
  const problems = declareProblems(from.declare)
  if (from.startFrom !== undefined && from.declare !== false && !isStream(from.declare)) {
    problems.push({ path: ['startFrom'], message: 'startFrom only works with streams: declare: { type: stream }' })
  }
  const levels = from.bind?.routingKey.split('.') ?? []
  const path = ['bind', 'routingKey']
  if (levels.some((level) => /[{}]/.test(level) && !capture.test(level))) {
    problems.push({ path, message: 'a capture must be a whole word: order.{type}.{rest#}' })
  }
  const rest = levels.findIndex((level) => level === '#' || level.endsWith('#}'))
  if (rest !== -1 && rest < levels.length - 1 && hasCapture(from)) {
    problems.push({ path, message: 'with captures, # may only be the last word' })
  }
  return problems
}

export function checkTarget(target: AmqpTarget): SettingsProblem[] {
  const problems = declareProblems(target.declare)
  if ((target.exchange === undefined) === (target.queue === undefined)) {
    problems.push({ path: [], message: 'set either `exchange` (and `routingKey`) or `queue`' })
  }
  if (target.queue !== undefined && target.routingKey !== undefined) {
    problems.push({ path: ['routingKey'], message: 'routingKey goes with exchange; a queue is addressed by its name' })
  }
  if (target.queue !== undefined && target.exchangeType !== undefined) {
    problems.push({ path: ['exchangeType'], message: 'exchangeType goes with exchange' })
  }
  return problems
}

/** `prefetch` is the former name of `maxInFlight`. */
export const inFlightOf = ({ prefetch, maxInFlight }: AmqpFromConfig): number => prefetch ?? maxInFlight

const capture = /^\{[A-Za-z_][A-Za-z0-9_]*#?\}$/

/** True when the binding key names parts for `params`. */
export function hasCapture(from: AmqpFromConfig): boolean {
  return from.bind?.routingKey.split('.').some((level) => capture.test(level)) ?? false
}

/** The binding key as the broker understands it: captures become wildcards. */
export function bindingKey(text: string): string {
  const toWildcard = (level: string) => (capture.test(level) ? (level.endsWith('#}') ? '#' : '*') : level)
  return text.split('.').map(toWildcard).join('.')
}

/** True when the queue is to be a stream, if it is made. */
export function isStream(declare: boolean | QueueDeclaration): boolean {
  if (typeof declare === 'boolean') return false
  return (declare.type ?? declare.arguments?.['x-queue-type']) === 'stream'
}

function declareProblems(declare: boolean | QueueDeclaration): SettingsProblem[] {
  if (typeof declare === 'boolean' || declare.durable || (declare.type !== 'quorum' && !isStream(declare))) return []
  const kind = isStream(declare) ? 'stream' : 'quorum queue'
  return [{ path: ['declare', 'durable'], message: `a ${kind} is always durable` }]
}
