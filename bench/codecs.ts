/** Nanoseconds per message of each codec: node bench/codecs.ts. Each line is the best of seven rounds. */
import * as amqp from '../protocols/amqp/codec.ts'
import * as kafka from '../protocols/kafka/codec.ts'
import * as mqtt from '../protocols/mqtt/codec.ts'
import { type CustomHeaders, type Envelope, type Format, HeaderBag } from '../src/envelope/envelope.ts'
import { uuidv7 } from '../src/envelope/uuid.ts'

const payload = Buffer.from(JSON.stringify({ status: 'ok', temperature: 31.5, text: 'x'.repeat(980) }))
const topic = 'sensors/berlin/7/telemetry'
const nowMs = Date.now()
const mqttPlace = { connection: 'devices', version: 5 } as const
const kafkaPlace = { connection: 'events', topic: 'telemetry.berlin', partition: 3 }
const amqpPlace = { connection: 'orders', queue: 'alarms' }

const ten: CustomHeaders = Object.assign(
  new HeaderBag(),
  Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`header-${i}`, `value of header ${i}`])),
)
const plain = mqtt.decode({ topic, payload, qos: 1, retain: false, dup: false }, mqttPlace)
const rich = plain.with({ headers: ten, contentType: 'application/json', eventType: 'TemperatureHigh' })

function outbound(envelope: Envelope, format?: Format) {
  return { envelope, target: { key: undefined }, format, hops: 'plant-7' }
}

/** What Kafka gives back for what was sent. */
function kafkaMessage(envelope: Envelope) {
  const { headers, value } = kafka.encode(outbound(envelope), nowMs)
  const received = new HeaderBag() as Record<string, string>
  for (let i = 0; i < headers.length; i += 2) received[headers[i] as string] = String(headers[i + 1] ?? '')
  return { key: null, value: Buffer.from(value ?? ''), headers: received, timestampMs: nowMs, offset: 991 }
}

function amqpMessage(envelope: Envelope) {
  const { content, options } = amqp.encode(outbound(envelope), nowMs)
  return { content, properties: { ...options, headers: { ...options.headers } } } as unknown as Parameters<
    typeof amqp.decode
  >[0]
}

function mqttPacket(envelope: Envelope) {
  const { properties } = mqtt.encode(outbound(envelope), 5, nowMs)
  return { topic, payload, properties, qos: 1, retain: false, dup: false } as const
}

const device = { topic, payload, qos: 1, retain: false, dup: false } as const
const bare = { key: null, value: payload, headers: undefined, timestampMs: nowMs, offset: 991 }
const bareAmqp = { content: payload, properties: { headers: {} } } as unknown as Parameters<typeof amqp.decode>[0]
const richKafka = kafkaMessage(rich)
const richAmqp = amqpMessage(rich)
const richMqtt = mqttPacket(rich)

const cases: Record<string, () => unknown> = {
  uuidv7: () => uuidv7(),
  'mqtt   decode  device message': () => mqtt.decode(device, mqttPlace),
  'kafka  decode  bare record': () => kafka.decode(bare, kafkaPlace),
  'amqp   decode  bare message': () => amqp.decode(bareAmqp, amqpPlace),
  'mqtt   encode  device message': () => mqtt.encode(outbound(plain), 5, nowMs),
  'mqtt4  encode  device message': () => mqtt.encode(outbound(plain), 4, nowMs),
  'kafka  encode  device message': () => kafka.encode(outbound(plain), nowMs),
  'amqp   encode  device message': () => amqp.encode(outbound(plain), nowMs),
  'mqtt   decode  10 headers': () => mqtt.decode(richMqtt, mqttPlace),
  'kafka  decode  10 headers': () => kafka.decode(richKafka, kafkaPlace),
  'amqp   decode  10 headers': () => amqp.decode(richAmqp, amqpPlace),
  'mqtt   encode  10 headers': () => mqtt.encode(outbound(rich), 5, nowMs),
  'kafka  encode  10 headers': () => kafka.encode(outbound(rich), nowMs),
  'amqp   encode  10 headers': () => amqp.encode(outbound(rich), nowMs),
  'kafka  encode  envelope format': () => kafka.encode(outbound(rich, 'envelope'), nowMs),
  'kafka  encode  cloudevents format': () => kafka.encode(outbound(rich, 'cloudevents'), nowMs),
}

let sink: unknown
for (const run of Object.values(cases)) for (let i = 0; i < 20_000; i++) sink = run()
for (const [name, run] of Object.entries(cases)) {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 7; round++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < 50_000; i++) sink = run()
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 50_000)
  }
  console.log(name.padEnd(36), best.toFixed(0).padStart(6), 'ns')
}
if (sink === undefined) console.log('nothing ran')
