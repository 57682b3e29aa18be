/** Arbitrary envelopes, as canonical ones are: well-formed text, bytes where text would not do. */
import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { Envelope, type ExtensionValue, HeaderBag, type HeaderValue } from '../../../src/envelope/envelope.ts'
import { isExtensionName } from '../../../src/envelope/extensions.ts'

const text = (maxLength = 40) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength }) },
    { weight: 2, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('a\nb', '\0', '\u0085', '\uffff', '\ufeffmark', '\ufffd', 'é'.repeat(200), '"\\'),
    },
  )
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const leaf: fc.Arbitrary<HeaderValue> = fc.oneof(
  text(),
  fc.constant(''),
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(-0, Number.NaN, 2 ** 50 + 0.5, 2 ** 53, -(2 ** 63), -(2 ** 64), 1e300, -1e300),
  fc.bigInt(),
  fc.constantFrom(2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n, 2n ** 63n),
  fc.boolean(),
  fc.constant(null),
  bytes,
)
const awkward = [
  ...[
    'id',
    'type',
    'subject',
    'dataschema',
    'data',
    'data_base64',
    'time',
    'specversion',
    'content-type',
    'trivium-hops',
  ],
  ...[
    'ce_id',
    'ce_x',
    'cloudEvents_id',
    'cloudEvents:x',
    'ce-id',
    'ce-x',
    'CC',
    'BCC',
    'x-death',
    'x-message-id',
    'x-reply-to-topic',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'contentType',
    'ttl',
    'priority',
    'trvtypes',
    'trvheaders',
    'customHeaders',
  ],
  ...['content-encoding', 'app-id', 'cluster-id', 'user-id'],
  ...['partitionkey', 'traceparent', 'a;b=c', ':payload', '$bytes', '!', '1', 'ü', 'n'.repeat(300)],
]
/** Without a backslash: once Node 24's JSON.parse has seen the name `\\`, it takes the name `"` for it. */
const name = fc
  .oneof({ weight: 3, arbitrary: text(20) }, { weight: 2, arbitrary: fc.constantFrom(...awkward) })
  .map((each) => each.replaceAll('\\', '/'))
const table = (value: fc.Arbitrary<HeaderValue>) =>
  fc
    .array(fc.tuple(fc.oneof(name, fc.constantFrom('$bytes', '$int', '!', 'value')), value), { maxLength: 3 })
    .map((entries) => Object.assign(Object.create(null), ...entries.map(own)) as HeaderValue)
const value: fc.Arbitrary<HeaderValue> = fc.oneof(
  { weight: 4, arbitrary: text() },
  { weight: 3, arbitrary: leaf },
  { weight: 2, arbitrary: fc.array(fc.oneof(text(), fc.constant('')), { maxLength: 4 }) },
  { weight: 1, arbitrary: fc.array(bytes, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.array(leaf, { maxLength: 4 }) },
  { weight: 1, arbitrary: table(fc.oneof(leaf, table(leaf), fc.array(leaf, { maxLength: 2 }))) },
  {
    weight: 1,
    arbitrary: fc
      .oneof(fc.maxSafeInteger(), fc.constantFrom(2n ** 62n, -(2n ** 63n)))
      .map((seconds) => ({ '!': 'timestamp', value: seconds }) as HeaderValue),
  },
)

function own([key, content]: [string, HeaderValue]): object {
  return Object.defineProperty(Object.create(null), key, { value: content, enumerable: true })
}

const headers = fc.array(fc.tuple(name, value), { maxLength: 6 }).map((entries) => {
  const bag = new HeaderBag()
  for (const [key, content] of entries) bag[key] = content
  return bag
})

const extensionName = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'abcdwxyz0189'), minLength: 1, maxLength: 24 }),
  fc.constantFrom('traceparent', 'sequence', 'constructor', 'ttl', 'priority', 'n'.repeat(100)),
)
const extensions = fc
  .array(
    fc.tuple(extensionName, fc.oneof(text(), fc.constant(''), fc.boolean(), fc.integer(), fc.constantFrom(-(2 ** 31)))),
    { maxLength: 3 },
  )
  .map((entries) => {
    const bag = new HeaderBag() as Record<string, ExtensionValue>
    for (const [key, content] of entries.filter(([each]) => isExtensionName(each))) bag[key] = content
    return bag
  })

const jsonText = fc
  .tuple(fc.json(), fc.constantFrom('', ' ', '\n'))
  .map(([json, space]) => Buffer.from(space + json + space))
const payload = fc.oneof(
  bytes,
  jsonText,
  text().map((each) => Buffer.from(each)),
  fc.constant(null),
  fc
    .constantFrom('', 'null', '{"a":12345678901234567890,"b":1.0,  "a":[ "}" ]}', '"\\u0000"', '\ufeff{}')
    .map((each) => Buffer.from(each)),
)
const key = fc.oneof(
  text(),
  fc.constant(''),
  bytes.filter((each) => !isUtf8(each)),
)
const contentType = fc.constantFrom(
  'application/json',
  'text/plain; charset=utf-8',
  'application/octet-stream',
  'application/vnd.x+json',
)
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })

/** Its time to live, where it has one, is not over at `nowMs`. */
export function envelopes(nowMs: number): fc.Arbitrary<Envelope> {
  return fc
    .record({
      messageId: text(),
      timestamp: fc.constantFrom(
        '2026-11-23T20:00:00.123Z',
        '2026-11-23T21:00:00.123456+01:00',
        '2026-11-23t20:00:00z',
      ),
      source: text(),
      destination: optional(text()),
      eventType: optional(text()),
      version: optional(text()),
      correlationId: optional(fc.oneof(text(), fc.constantFrom('', 'base64:__79', 'base64:YQ', 'base64:'))),
      contentType: optional(contentType),
      priority: optional(fc.integer({ min: 0, max: 255 })),
      ttlMs: optional(fc.integer({ min: 1, max: 2 ** 45 }).map((ms) => Math.max(0, nowMs - start) + ms)),
      retryCount: optional(fc.nat()),
      headers,
      extensions,
      payload,
      key: optional(key),
      replyTo: optional(
        fc.oneof(
          text(),
          fc.constantFrom('mqtt:a/b', 'mqtt:', 'mqtt:+', 'mqtt://x/y', 'amqp:q', 'amqp:amq.rabbitmq.reply-to'),
        ),
      ),
      hops: optional(fc.constantFrom('plant-7', 'plant-7,edge-1')),
    })
    .map((fields) => new Envelope(fields))
}

const start = Date.parse('2026-11-23T20:00:00.000Z')
