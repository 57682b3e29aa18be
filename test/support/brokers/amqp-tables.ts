/** Tables of AMQP as senders write them: each type of RabbitMQ's errata, its limits, and arbitrary ones. */
import fc from 'fast-check'
import { type Field, sizes, type Table } from './amqp-raw.ts'

/** What the sender wrote, of a table that a gateway has written. */
export function withoutOurs(table: Table = {}): Table {
  const isOurs = (name: string) => name.startsWith('cloudEvents_') || name === 'trivium-hops'
  return Object.fromEntries(Object.entries(table).filter(([name]) => !isOurs(name)))
}

const hexOf = (write: (bytes: Buffer) => void, length: number) => {
  const bytes = Buffer.alloc(length)
  write(bytes)
  return bytes.toString('hex')
}
export const text = (value: string): Field => ({ letter: 'S', hex: Buffer.from(value).toString('hex') })
const of = <L extends keyof typeof sizes>(letter: L, write: (bytes: Buffer) => void): Field => ({
  letter,
  hex: hexOf(write, sizes[letter]),
})

/** The cases of the field, and each type's limits. */
export const cases: Readonly<Record<string, Field>> = {
  'l 2^53+1': of('l', (b) => b.writeBigInt64BE(2n ** 53n + 1n)),
  'l nanoseconds': of('l', (b) => b.writeBigInt64BE(1701385889123456789n)),
  'l least': of('l', (b) => b.writeBigInt64BE(-(2n ** 63n))),
  'l most': of('l', (b) => b.writeBigInt64BE(2n ** 63n - 1n)),
  'l 5': of('l', (b) => b.writeBigInt64BE(5n)),
  'b -5': of('b', (b) => b.writeInt8(-5)),
  'B 200': of('B', (b) => b.writeUInt8(200)),
  's 128': of('s', (b) => b.writeInt16BE(128)),
  's 1': of('s', (b) => b.writeInt16BE(1)),
  'u 65000': of('u', (b) => b.writeUInt16BE(65_000)),
  'I -70000': of('I', (b) => b.writeInt32BE(-70_000)),
  'I 1': of('I', (b) => b.writeInt32BE(1)),
  'i 4e9': of('i', (b) => b.writeUInt32BE(4_000_000_000)),
  'f 0.1': of('f', (b) => b.writeFloatBE(0.1)),
  'd 0.1': of('d', (b) => b.writeDoubleBE(0.1)),
  'd 3': of('d', (b) => b.writeDoubleBE(3)),
  'd -0': of('d', (b) => b.writeDoubleBE(-0)),
  'd 1e300': of('d', (b) => b.writeDoubleBE(1e300)),
  'd 2^60': of('d', (b) => b.writeDoubleBE(2 ** 60)),
  'D 123.45': { letter: 'D', hex: '0200003039' },
  'D -123.45': { letter: 'D', hex: '02ffffcfc7' },
  'T now': of('T', (b) => b.writeBigInt64BE(1701385889n)),
  'T microseconds': of('T', (b) => b.writeBigInt64BE(1701385889123456n)),
  'T before 1970': of('T', (b) => b.writeBigInt64BE(-86_400n)),
  'T beyond 2^53': of('T', (b) => b.writeBigInt64BE(2n ** 60n + 1n)),
  'S latin1': { letter: 'S', hex: '636166e9' },
  'S binary': { letter: 'S', hex: '005374c161' },
  'S empty': text(''),
  'S replacement': text('a\ufffdb'),
  'S looks marked': text('base64:__4AAQ'),
  'x binary': { letter: 'x', hex: 'ff0001' },
  'x text': { letter: 'x', hex: '616263' },
  'x empty': { letter: 'x', hex: '' },
  't yes': { letter: 't', hex: '01' },
  't no': { letter: 't', hex: '00' },
  V: { letter: 'V', hex: '' },
  'A empty': { letter: 'A', items: [] },
  'A one': { letter: 'A', items: [text('x')] },
  'A mixed': {
    letter: 'A',
    items: [{ letter: 'S', hex: 'ff' }, of('l', (b) => b.writeBigInt64BE(2n ** 60n)), text('')],
  },
  'F empty': { letter: 'F', table: {} },
  'F like a timestamp': { letter: 'F', table: { '!': text('timestamp'), value: of('b', (b) => b.writeInt8(5)) } },
  'F like bytes': { letter: 'F', table: { $bytes: text('AA==') } },
  'F nested': {
    letter: 'F',
    table: {
      b: { letter: 'F', table: { d: of('d', (b) => b.writeDoubleBE(1)) } },
      '2': text('x'),
      '1': of('I', () => {}),
    },
  },
}

/** RabbitMQ closes the connection for doubles that are not finite. */
function isSendable(each: Field): boolean {
  if (each.letter === 'f') return Number.isFinite(Buffer.from(each.hex, 'hex').readFloatBE())
  return each.letter !== 'd' || Number.isFinite(Buffer.from(each.hex, 'hex').readDoubleBE())
}

/** Names that no protocol and no broker gives a meaning to. */
const word = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 20 }),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    fc.constantFrom('!', 'value', 'id', 'type', 'ce_id', 'content-type', '7', 'toString', '^x=l', '@x=n', ':key'),
  )
  .filter(
    (name) =>
      !/^(cloudEvents|ce-|trivium-|x-|base64:)|^(B?CC|__proto__)$|-(encoding|id)$|\\/.test(name) &&
      Buffer.byteLength(name) < 256,
  )

const fields: fc.Arbitrary<Field> = fc.letrec<{ field: Field }>((tie) => {
  const scalars = (Object.keys(sizes) as (keyof typeof sizes)[]).map((letter) =>
    fc
      .uint8Array({ minLength: sizes[letter], maxLength: sizes[letter] })
      .map(
        (bytes): Field => ({
          letter,
          hex: Buffer.from(letter === 't' ? bytes.map((byte) => byte & 1) : bytes).toString('hex'),
        }),
      )
      .filter(isSendable),
  )
  const bytes = fc
    .oneof(fc.string(), fc.uint8Array({ maxLength: 20 }))
    .map((each) => Buffer.from(each as string).toString('hex'))
  const strings = fc.record({ letter: fc.constantFrom('S' as const, 'x' as const), hex: bytes })
  const list = fc.array(tie('field'), { maxLength: 3 }).map((items): Field => ({ letter: 'A', items }))
  const table = fc
    .dictionary(word, tie('field'), { maxKeys: 3 })
    .map((entries): Field => ({ letter: 'F', table: entries }))
  return { field: fc.oneof({ depthSize: 'small' }, fc.oneof(...scalars, strings), list, table) }
}).field

export const tables: fc.Arbitrary<Table> = fc.dictionary(word, fields, { maxKeys: 5, noNullPrototype: true })
