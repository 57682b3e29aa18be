/**
 * The configuration's own part of the grammar. What stands under a connection, a `from` or a target besides these keys is
 * declared by the protocol it names, and added to them when a file is checked.
 */
import { z } from 'zod'
import { hostPortProblem } from '../../adapter/address.ts'
import { duration, refuse, size } from '../../adapter/schema.ts'
import { formats } from '../../envelope/envelope.ts'
import { filterOperators } from './types.ts'

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
const nameRule = 'expected a name of letters, digits, `.`, `_` and `-` that begins with a letter or digit'
const name = () => z.string().regex(namePattern, { error: nameRule })

/** True for a text that may name a connection: names become parts of addresses and labels of metrics. */
export function isName(text: string): boolean {
  return namePattern.test(text)
}

const listenRule = 'expected an address and a port such as 127.0.0.1:7070, or off'
export const listenAddress = () => z.string({ error: listenRule }).superRefine(refuse(listenProblem))

function listenProblem(text: string): string | undefined {
  const problem = text === 'off' ? undefined : hostPortProblem(text, 0)
  return problem === undefined || problem.startsWith('port ') ? problem : listenRule
}

const format = () =>
  z.enum(formats).optional().meta({ description: 'How messages travel here; see the page about formats.' })

const condition = () => z.string().min(1).optional()

export const gatewaySection = z.strictObject({
  id: name().default('trivium').meta({ description: 'Names this gateway in hops, client ids and logs.' }),
  dataDir: z.string().min(1).default('./data').meta({ description: 'Directory for what must outlive a restart.' }),
  admin: z
    .union([
      z.strictObject({
        listen: z
          .union([listenAddress(), z.literal(false)])
          .default('127.0.0.1:7070')
          .meta({ description: 'Address and port of the admin interface; off for none.' }),
        token: z
          .string()
          .default('')
          .meta({ secret: true, description: 'Who asks must show this; needed where other machines can reach it.' }),
      }),
      z.literal(false),
    ])
    .prefault({})
    .meta({ description: 'Health, metrics and the API; false for none.' }),
  maxInFlight: z.int().min(1).default(10_000).meta({
    description:
      'Messages taken in and not yet settled before sources are no longer read. Of several sources none takes all: one whose target is away leaves two fifths to the others.',
  }),
  maxInFlightBytes: size()
    .default(64 * 1024 ** 2)
    .meta({ description: 'The same in bytes, such as 64MiB.' }),
  drain: duration()
    .default(15_000)
    .meta({ description: 'Longest time from the signal to stop until the end, such as 15s.' }),
  protocols: z
    .array(z.string().min(1))
    .default([])
    .meta({
      description:
        'JavaScript modules, beside this file, that bring protocols of your own. They run when the file is read.',
      examples: [['./my-protocol.js']],
    }),
  notes: z
    .array(z.string())
    .default([])
    .meta({ description: 'Lines the log shows once the gateway runs, such as what to try first.' }),
})

const deadLetters = z.strictObject({
  maxBytes: size()
    .default(1024 ** 3)
    .meta({
      description: 'Most bytes of dead letters; a warning at 80 %, and `onFull` decides when there are so many.',
    }),
  maxAge: duration()
    .optional()
    .meta({ description: 'A dead letter that is older is deleted; none: it stays until somebody decides.' }),
  onFull: z.enum(['wait', 'dropOldest']).default('wait').meta({
    description:
      'wait: what fails stays where it came from, and its source is held back, until there is room; dropOldest: the oldest dead letters are deleted, counted and logged.',
  }),
})

export const storeSection = z.strictObject({
  maxBytes: size()
    .default(4 * 1024 ** 3)
    .meta({
      description:
        'Most bytes of waiting messages before sources of stored routes are held back, or the oldest become dead letters.',
    }),
  maxAge: duration()
    .optional()
    .meta({ description: 'A message that waits longer becomes a dead letter, expired; none: it waits for ever.' }),
  onFull: z.enum(['wait', 'deadLetterOldest']).default('wait').meta({
    description: 'wait: sources are held back until there is room; deadLetterOldest: the oldest messages make room.',
  }),
  deadLetters: deadLetters.prefault({}).meta({ description: 'What dead letters may take up.' }),
})

/** What every entry of `connections` may have, besides its protocol's settings. */
export const connectionKeys = {
  protocol: z.string().meta({ description: 'Which protocol it speaks.' }),
  format: format(),
}

/** What every `from` may have. */
export const fromKeys = {
  connection: z.string().meta({ description: 'Name of the connection to read from.' }),
  format: format(),
}

const mostDestinations = 1_000_000

const maxDestinations = z.strictObject({
  count: z.int().min(1).max(mostDestinations).default(1_000).meta({ description: 'How many.' }),
  within: duration()
    .default(24 * 3_600_000)
    .meta({ description: 'One that was not used for so long does not count; after a restart none counts.' }),
  onLimit: z.enum(['deadLetter', 'wait']).default('deadLetter').meta({
    description: 'What becomes of a message for one more: a dead letter, or it waits until there is room.',
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
  when: condition().meta({ description: 'Expression (CEL); only messages for which it is true go here.' }),
  format: format(),
  allow: z
    .union([z.array(z.string()).min(1), z.string().min(1)])
    .transform(destinationsIn)
    .optional()
    .meta({
      description:
        'Destinations the templates of this target may give; others are refused. `*` is any text within a level, `**` any text. As a text: one a line, or with commas between them, such as that of a file.',
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
        'Most different destinations that messages may choose here; a number, or a mapping. Not given: 1000 within 24h where the broker keeps each (Kafka topics, AMQP exchanges and queues, retained MQTT topics) and `allow` does not name them all.',
    }),
}

const filterClause = z.strictObject({
  field: z
    .string()
    .min(1)
    .meta({ description: 'Path into the message: payload.status, headers.priority, params.site.' }),
  operator: z.enum(filterOperators).meta({ description: 'How the field is compared.' }),
  value: z.unknown().optional().meta({ description: 'What it is compared with; none for exists.' }),
})

const retry = z.strictObject({
  attempts: z
    .int()
    .min(1)
    .default(8)
    .meta({ description: 'How often a target may refuse a message before it is dead-lettered; outages do not count.' }),
  delay: duration().default(200).meta({ description: 'Wait before the second attempt; it doubles from then on.' }),
  maxDelay: duration().default(60_000).meta({ description: 'Longest wait between two attempts.' }),
})

const deduplicate = z.strictObject({
  by: condition().meta({
    description:
      'Expression (CEL) whose value two copies of a message share, such as payload.id; a message without one is not compared. Not given: the `messageId`.',
  }),
  window: duration().meta({ description: 'How long a message is remembered.' }),
  scope: name()
    .optional()
    .meta({ description: 'Routes with the same scope know what each other has seen; not given: the route alone.' }),
})

const set = () => z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({})

/** A route without `from`, `to`, `deadLetter`, `request` and `scatter`: those belong to protocols. */
export const routeKeys = {
  name: name().meta({ description: 'Names the route in logs and metrics; unique.' }),
  filter: z
    .array(filterClause.meta({ description: 'One clause.' }))
    .default([])
    .meta({ description: 'Any clause lets a message pass; none: all pass.' }),
  when: condition().meta({ description: 'Expression (CEL); only messages for which it is true pass.' }),
  set: set().meta({ description: 'Path -> expression: what the message is changed to, in this order.' }),
  match: z
    .enum(['all', 'first'])
    .default('all')
    .meta({ description: 'Whether every target whose `when` holds gets the message, or only the first.' }),
  order: z
    .enum(['key', 'none'])
    .default('key')
    .meta({ description: 'key: messages of one key arrive in the order they came; none: no order is kept.' }),
  acknowledge: z.enum(['stored', 'delivered', 'answered']).optional().meta({
    description:
      'When the sender is told that its message is safe: stored on this disk, or delivered to every target; with `request` or `scatter`, answered. Not given: stored with `deduplicate`, else what suits the protocol of `from`.',
  }),
  deduplicate: z
    .union([duration().transform((window) => ({ window, by: undefined, scope: undefined })), deduplicate])
    .optional()
    .meta({
      description:
        'A message that came within this time already is not sent again; a duration, or a mapping. Not with acknowledge: delivered.',
      examples: ['10m', { by: 'payload.id', window: '10m', scope: 'orders' }],
    }),
  retry: retry.prefault({}).meta({ description: 'How often and how patiently a refused message is tried again.' }),
}
export const routeOwn = z.strictObject(routeKeys)

/** What `request` and `scatter` may have, besides `to` and `reply`, which belong to protocols. */
export const requestKeys = {
  timeout: duration().default(30_000).meta({
    description: 'How long the asker waits for its answer at most; then it gets an error, REPLY_TIMEOUT.',
  }),
  maxOutstanding: z.int().min(1).max(10_000_000).default(10_000).meta({
    description:
      'Requests that wait for replies. One more waits at its source, or is turned away where its asker waits on an open connection (HTTP: 503). Of no use above `gateway.maxInFlight`.',
  }),
  late: z.enum(['deadLetter', 'drop']).default('deadLetter').meta({
    description:
      'What becomes of a reply that nobody waits for: late, its asker gone, or without a known correlation. deadLetter: it is kept, `late-reply`; drop: it is counted and no more.',
  }),
}
export const requestOwn = z.strictObject(requestKeys)

export const scatterKeys = {
  ...requestKeys,
  complete: z
    .union([z.enum(['all', 'first', 'quorum']), z.int().min(1)], { error: 'expected all, first, quorum or a number' })
    .default('all')
    .meta({
      description:
        'When the answer is made: with the replies of all targets, the first good one, good ones of more than half, or so many good ones. What is missing when the time is over is an error in `results`.',
      examples: ['quorum', 2],
    }),
  minimum: z
    .int()
    .min(1)
    .default(1)
    .meta({ description: 'Fewer good replies: the asker gets an error, TOO_FEW_REPLIES.' }),
  aggregate: condition().meta({
    description: 'Expression (CEL) over `results` that gives the payload of the answer. Not given: the whole result.',
    examples: ['results.filter(r, r.ok).map(r, r.payload.price).min()'],
  }),
}
export const scatterOwn = z.strictObject(scatterKeys)

/** What `request.reply` may have in any case. */
export const replyKeys = {
  set: set().meta({ description: 'Path -> expression: what a reply is changed to on its way to the asker.' }),
}

/** What it may have besides the keys of a `from`, where it says where replies are read. */
export const replyFromKeys = {
  ...replyKeys,
  correlation: z
    .string()
    .min(1)
    .default('correlationId')
    .meta({
      description: 'Expression (CEL) over a reply that gives back `request.id`.',
      examples: ['payload.requestId'],
    }),
}

/** Descriptions of the parts that protocols complete; the JSON Schema shows them. */
export const partDescriptions = {
  gateway: 'The process itself.',
  store: 'Messages that wait on this disk.',
  connections: 'Name -> where a broker is, or where an embedded one listens.',
  routes: 'What is read where, and sent where.',
  route: 'One route.',
  from: 'Where messages are read.',
  to: 'Where they are sent.',
  target: 'One target.',
  deadLetter: 'Where messages go that can not be delivered; without it the gateway keeps them.',
  request: 'A reply is expected from the one target, and goes back to whoever asked.',
  scatter: 'Replies are expected from all targets; what comes of them goes back to whoever asked.',
  answerTo:
    'Where answers go, as one entry of `to`; without a connection: that of `from`. Without it: to the address the asker named.',
  reply:
    'Where replies are read, as a `from`, where the protocol of the target has no reply address; what they are changed to.',
}
