/**
 * The configuration's own part of the grammar. What stands under a connection, a `from` or a target besides these keys is
 * declared by the protocol it names, and added to them when a file is checked.
 */
import { z } from 'zod'
import { hostPortProblem } from '../../adapter/address.ts'
import { duration, refuse, size, timeLimit } from '../../adapter/schema.ts'
import { formats } from '../../envelope/envelope.ts'
import { filterOperators } from './types.ts'

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
const nameRule = 'expected letters, digits, `.`, `_` and `-`, starting with a letter or digit'
const name = () => z.string().regex(namePattern, { error: nameRule })

/** True for a text that may name a connection: names become parts of addresses and labels of metrics. */
export function isName(text: string): boolean {
  return namePattern.test(text)
}

const listenRule = 'expected `off` or host:port such as 127.0.0.1:7070'
export const listenAddress = () => z.string({ error: listenRule }).superRefine(refuse(listenProblem))

function listenProblem(text: string): string | undefined {
  const problem = text === 'off' ? undefined : hostPortProblem(text, 0)
  return problem === undefined || problem.startsWith('port ') ? problem : listenRule
}

const format = () =>
  z.enum(formats).optional().meta({ description: 'How messages are encoded here; see docs/formats.md.' })

const condition = () => z.string().min(1).optional()

const sidecar = z.strictObject({
  listen: z
    .string()
    .superRefine(refuse((text) => hostPortProblem(text, 0)))
    .default('127.0.0.1:7071')
    .meta({ description: 'Address and port of the API; plain HTTP.' }),
  token: z.string().default('').meta({
    secret: true,
    description: 'Bearer token that applications must send; required unless `insecure` is set.',
  }),
  insecure: z.boolean().default(false).meta({ description: 'Allows the API without a token.' }),
  publish: z.array(z.string()).optional().meta({
    description: 'Connections that applications can publish to. Default: all that can be published to.',
  }),
  request: z.array(z.string()).default([]).meta({
    description: 'Connections that applications can send requests to; each opens a reply channel.',
  }),
})

export const gatewaySection = z.strictObject({
  id: name().default('trivium').meta({ description: 'Name of this gateway in hops, client ids and logs.' }),
  dataDir: z.string().min(1).default('./data').meta({ description: 'Directory for data that must survive a restart.' }),
  admin: z
    .union([
      z.strictObject({
        listen: z
          .union([listenAddress(), z.literal(false)])
          .default('127.0.0.1:7070')
          .meta({ description: 'Address and port of the admin interface; `off` disables it.' }),
        token: z.string().default('').meta({
          secret: true,
          description: 'Bearer token that clients must send; required if other machines can reach the interface.',
        }),
      }),
      z.literal(false),
    ])
    .prefault({})
    .meta({ description: 'Health, metrics and the API; `false` disables them.' }),
  sidecar: sidecar.optional().meta({
    description: 'HTTP API for applications beside this gateway: publish and request. Default: none.',
  }),
  maxInFlight: z.int().min(1).default(10_000).meta({
    description:
      'Maximum unsettled messages in the gateway before it stops reading its sources. No source takes them all: one whose target is away leaves two fifths to the others.',
  }),
  maxInFlightBytes: size()
    .default(64 * 1024 ** 2)
    .meta({ description: 'The same limit in bytes, such as 64MiB.' }),
  drain: timeLimit().default(15_000).meta({ description: 'Maximum time from the stop signal to exit, such as 15s.' }),
  protocols: z
    .array(z.string().min(1))
    .default([])
    .meta({
      description:
        'JavaScript modules that export custom protocols, relative to this file. They run when the file is read.',
      examples: [['./my-protocol.js']],
    }),
  notes: z
    .array(z.string())
    .default([])
    .meta({ description: 'Lines shown once the gateway is running, such as what to try first.' }),
})

const deadLetters = z.strictObject({
  maxBytes: size()
    .default(1024 ** 3)
    .meta({
      description: 'Maximum size of all dead letters; the gateway warns at 80 %, and `onFull` applies at the limit.',
    }),
  maxAge: duration().optional().meta({
    description: 'Deletes older dead letters. Default: they are kept until someone requeues or discards them.',
  }),
  onFull: z.enum(['wait', 'dropOldest']).default('wait').meta({
    description:
      'wait: failed messages stay at their source, which is paused until there is room; dropOldest: the oldest dead letters are deleted, counted and logged.',
  }),
})

export const storeSection = z.strictObject({
  maxBytes: size()
    .default(4 * 1024 ** 3)
    .meta({
      description:
        'Maximum size of waiting messages before sources of stored routes are paused, or the oldest messages become dead letters.',
    }),
  maxAge: duration()
    .optional()
    .meta({ description: 'A message that waits longer becomes a dead letter (`expired`). Default: it waits forever.' }),
  onFull: z.enum(['wait', 'deadLetterOldest']).default('wait').meta({
    description:
      'wait: sources are paused until there is room; deadLetterOldest: the oldest messages become dead letters.',
  }),
  deadLetters: deadLetters.prefault({}).meta({ description: 'Limits for dead letters.' }),
})

/** What every entry of `connections` may have, besides its protocol's settings. */
export const connectionKeys = {
  protocol: z.string().meta({ description: 'Protocol of this connection.' }),
  format: format(),
}

/** What every `from` may have. */
export const fromKeys = {
  connection: z.string().meta({ description: 'Name of the connection to read from.' }),
  format: format(),
}

const mostDestinations = 1_000_000

const maxDestinations = z.strictObject({
  count: z.int().min(1).max(mostDestinations).default(1_000).meta({ description: 'Maximum number of destinations.' }),
  within: duration()
    .default(24 * 3_600_000)
    .meta({ description: 'A destination unused for this long no longer counts; after a restart none does.' }),
  onLimit: z.enum(['deadLetter', 'wait']).default('deadLetter').meta({
    description:
      'What happens to a message for one more destination: it becomes a dead letter, or waits until there is room.',
  }),
})

/** The entries of `allow`, however they are written; in a file, a line that begins with `#` is a comment. */
export function destinationsIn(allow: string | readonly string[]): string[] {
  const texts = typeof allow === 'string' ? allow.split(/[\n,]/) : allow.flatMap((text) => text.split('\n'))
  const isTold = (text: string) => text !== '' && !text.startsWith('#')
  return texts.map((text) => text.trim()).filter(isTold)
}

/** What every entry of `to`, and `deadLetter`, may have. */
export const targetKeys = {
  connection: z.string().meta({ description: 'Name of the connection to send to.' }),
  when: condition().meta({ description: 'CEL expression; only messages for which it is true are sent here.' }),
  format: format(),
  allow: z
    .union([z.array(z.string()).min(1), z.string().min(1)])
    .transform(destinationsIn)
    .optional()
    .meta({
      description:
        'Destinations that the templates of this target may produce; others are refused. `*` matches within a level, `**` across levels. A list, or a string with one per line or separated by commas, e.g. from a file.',
      examples: [['orders', 'alarms.*'], '${file:./destinations.txt}'],
    }),
  maxDestinations: z
    .union([
      z
        .int()
        .min(1)
        .max(mostDestinations)
        .transform((count) => maxDestinations.parse({ count })),
      maxDestinations,
    ])
    .optional()
    .meta({
      description:
        'Maximum number of distinct destinations that messages may choose here; a number or a mapping. Default: 1000 within 24h if the broker keeps each destination (Kafka topics, AMQP exchanges and queues, retained MQTT topics) and `allow` does not list them all.',
    }),
}

const filterClause = z.strictObject({
  field: z.string().min(1).meta({ description: 'Path in the message: payload.status, headers.priority, params.site.' }),
  operator: z.enum(filterOperators).meta({ description: 'How the field is compared.' }),
  value: z.unknown().optional().meta({ description: 'What it is compared with; omit it for `exists`.' }),
})

const retry = z.strictObject({
  attempts: z.int().min(1).default(8).meta({
    description: 'How many times a target may refuse a message before it becomes a dead letter; outages do not count.',
  }),
  delay: duration()
    .default(200)
    .meta({ description: 'Delay before the second attempt; doubles with each further attempt.' }),
  maxDelay: duration().default(60_000).meta({ description: 'Maximum delay between two attempts.' }),
})

const deduplicate = z.strictObject({
  by: condition().meta({
    description:
      'CEL expression that is equal for two copies of a message, such as payload.id; a message without a value is not compared. Default: the `messageId`.',
  }),
  window: duration().meta({ description: 'How long messages are remembered.' }),
  scope: name()
    .optional()
    .meta({ description: 'Routes with the same scope share what they have seen. Default: each route on its own.' }),
})

const set = () => z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({})

/** A route without `from`, `to`, `deadLetter`, `request` and `scatter`: those belong to protocols. */
export const routeKeys = {
  name: name().meta({ description: 'Unique name of the route, used in logs and metrics.' }),
  filter: z
    .array(filterClause.meta({ description: 'One clause.' }))
    .default([])
    .meta({ description: 'A message passes if any clause matches; without clauses all pass.' }),
  when: condition().meta({ description: 'CEL expression; only messages for which it is true pass.' }),
  set: set().meta({ description: 'Path -> expression: changes to the message, applied in this order.' }),
  match: z
    .enum(['all', 'first'])
    .default('all')
    .meta({ description: 'Whether every target whose `when` is true gets the message, or only the first.' }),
  order: z
    .enum(['key', 'none'])
    .default('key')
    .meta({ description: 'key: messages with the same key are delivered in order; none: no ordering.' }),
  acknowledge: z.enum(['stored', 'delivered', 'answered']).optional().meta({
    description:
      'When a message is acknowledged to its sender: stored on this disk, or delivered to every target; with `request` or `scatter`, answered. Default: stored with `deduplicate`, otherwise it depends on the protocol of `from`.',
  }),
  deduplicate: z
    .union([duration().transform((window) => ({ window, by: undefined, scope: undefined })), deduplicate])
    .optional()
    .meta({
      description:
        'Drops a message already seen within this time; a duration or a mapping. Not allowed with `acknowledge: delivered`.',
      examples: ['10m', { by: 'payload.id', window: '10m', scope: 'orders' }],
    }),
  retry: retry.prefault({}).meta({ description: 'How often, and with which delays, a refused message is retried.' }),
}
export const routeOwn = z.strictObject(routeKeys)

/** What `request` and `scatter` may have, besides `to` and `reply`, which belong to protocols. */
export const requestKeys = {
  timeout: duration().default(20_000).meta({
    description: 'Maximum time to wait for the reply; then the requester gets the error REPLY_TIMEOUT.',
  }),
  maxOutstanding: z.int().min(1).max(10_000_000).default(10_000).meta({
    description:
      'Maximum requests waiting for replies. Further ones wait at their source, or are refused if the requester waits on an open connection (HTTP: 503). Has no effect above `gateway.maxInFlight`.',
  }),
  late: z.enum(['deadLetter', 'drop']).default('deadLetter').meta({
    description:
      'What happens to a reply nobody waits for: it is late, its requester is gone, or its correlation is unknown. deadLetter: it is kept (`late-reply`); drop: it is only counted.',
  }),
}
export const requestOwn = z.strictObject(requestKeys)

export const scatterKeys = {
  ...requestKeys,
  late: requestKeys.late.removeDefault().default('drop').meta({
    description:
      'What becomes of a reply that comes when the answer is made already, or of an unknown request. drop: it is counted and no more; deadLetter: it is kept, `late-reply`.',
  }),
  complete: z
    .union([z.enum(['all', 'first', 'quorum']), z.int().min(1)], { error: 'expected all, first, quorum or a number' })
    .default('all')
    .meta({
      description:
        'When the answer is complete: after the replies of all targets, the first successful one, successful ones of more than half, or this many successful ones. A reply missing at the timeout is an error in `results`.',
      examples: ['quorum', 2],
    }),
  minimum: z
    .int()
    .min(1)
    .default(1)
    .meta({ description: 'Minimum successful replies; with fewer the requester gets the error TOO_FEW_REPLIES.' }),
  aggregate: condition().meta({
    description: 'CEL expression over `results` that produces the payload of the answer. Default: the whole result.',
    examples: ['results.filter(r, r.ok).map(r, r.payload.price).min()'],
  }),
}
export const scatterOwn = z.strictObject(scatterKeys)

/** What `request.reply` may have in any case. */
export const replyKeys = {
  set: set().meta({ description: 'Path -> expression: changes to a reply on its way to the requester.' }),
}

/** What it may have besides the keys of a `from`, where it says where replies are read. */
export const replyFromKeys = {
  ...replyKeys,
  correlation: z
    .string()
    .min(1)
    .default('correlationId')
    .meta({
      description: 'CEL expression over a reply that returns `request.id`.',
      examples: ['payload.requestId'],
    }),
}

/** Descriptions of the parts that protocols complete; the JSON Schema shows them. */
export const partDescriptions = {
  gateway: 'The gateway process.',
  store: 'Messages stored on this disk.',
  connections: 'Name -> a broker to connect to, or an embedded broker.',
  routes: 'Where messages are read and where they are sent.',
  route: 'One route.',
  from: 'Where messages are read from.',
  to: 'Where messages are sent.',
  target: 'One target.',
  deadLetter: 'Where undeliverable messages are sent; without it the gateway keeps them.',
  request: 'Expects a reply from its single target and returns it to the requester.',
  scatter: 'Expects replies from all targets and returns their combined result to the requester.',
  answerTo:
    'Where answers are sent, written as one entry of `to`; without a connection, that of `from`. Default: the reply address the requester gave.',
  reply:
    'Where replies are read, written as a `from`, if the protocol of the target has no reply address; and how they are changed.',
}
