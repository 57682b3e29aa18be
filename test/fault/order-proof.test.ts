/** The reader of traces finds every way in which an acknowledgement can leave too early. */
import { expect, test } from '@jest/globals'
import { encodeMessage } from '../support/fault/message.ts'
import { OrderProof } from '../support/fault/order-proof.ts'

const hex = (bytes: Uint8Array): string =>
  `"${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"`
const message = encodeMessage({ key: 'red', n: 7 }, 60)

const connect = Buffer.of(0x10, 14, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 20, 0, 2, 97, 98)
const publish = Buffer.concat([Buffer.of(0x32, message.length + 5, 0, 1, 116, 1, 2), message])
const puback = Buffer.of(0x40, 2, 1, 2)

const connects = `10 1.0 read(20, ${hex(connect)}, 65536) = 16`
const comes = `10 1.1 read(20, ${hex(publish)}, 65536) = ${publish.length}`
const written = `10 1.2 pwrite64(9, ${hex(Buffer.concat([Buffer.alloc(40), message]))}, 4096, 0) = 4096`
const synced = '10 1.3 fdatasync(9) = 0'
const leaves = `10 1.4 write(20, ${hex(puback)}, 4) = 4`

function prove(...lines: string[]): OrderProof {
  const proof = new OrderProof()
  for (const line of lines) proof.read(line)
  return proof
}

test('an acknowledgement behind the sync of its message is in order', () => {
  const { acked, violations, unknown, syncs } = prove(connects, comes, written, synced, leaves)
  expect({ acked, violations, unknown, syncs }).toEqual({ acked: 1, violations: [], unknown: 0, syncs: 1 })
})

test('so it is where packets are cut in two, written in a vector, and calls of other threads come between', () => {
  const { acked, violations } = prove(
    `10 1.0 read(20, ${hex(connect.subarray(0, 9))}, 65536) = 9`,
    `10 1.0 read(20, ${hex(Buffer.concat([connect.subarray(9), publish.subarray(0, 30)]))}, 65536) = 37`,
    `10 1.1 read(20, ${hex(publish.subarray(30))}, 65536) = 20`,
    written,
    '10 1.3 fdatasync(9 <unfinished ...>',
    '11 1.31 read(5,  <unfinished ...>',
    '10 1.35 <... fdatasync resumed>) = 0',
    `10 1.4 writev(20, [{iov_base=${hex(puback.subarray(0, 2))}, iov_len=2}, {iov_base=${hex(puback.subarray(2))}, iov_len=2}], 2) = 4`,
  )
  expect({ acked, violations }).toEqual({ acked: 1, violations: [] })
})

test.each([1, 9, 16])(
  'so it is where a row goes on from one page to another, cut after %d bytes of the message',
  (cut) => {
    const leaf = Buffer.concat([
      Buffer.alloc(40),
      message.subarray(0, cut),
      Buffer.of(0, 0, 0, 8),
      Buffer.alloc(20, 'x'),
    ])
    const more = Buffer.concat([Buffer.of(0, 0, 0, 0), message.subarray(cut), Buffer.alloc(20)])
    const page = (bytes: Buffer) => `10 1.2 pwrite64(9, ${hex(bytes)}, 4096, 0) = 4096`
    for (const pages of [
      [leaf, more],
      [more, leaf],
    ]) {
      expect(prove(connects, comes, ...pages.map(page), synced, leaves)).toMatchObject({ acked: 1, violations: [] })
    }
    expect(prove(connects, comes, page(leaf), synced, leaves).violations).toHaveLength(1)
    expect(prove(connects, comes, page(leaf), synced, page(more), leaves).violations).toHaveLength(1)
  },
)

test.each<[string, string[]]>([
  ['nothing is written', [connects, comes, synced, leaves]],
  ['nothing is synced', [connects, comes, written, leaves]],
  ['the sync comes after it', [connects, comes, written, leaves, synced]],
  ['the sync came before the write', [connects, comes, synced, written, leaves]],
  ['another file was synced', [connects, comes, written, '10 1.3 fdatasync(8) = 0', leaves]],
  ['the sync failed', [connects, comes, written, '10 1.3 fdatasync(9) = -1 EIO (Input/output error)', leaves]],
  ['the sync has not returned', [connects, comes, written, '11 1.3 fdatasync(9 <unfinished ...>', leaves]],
  [
    'the sync began before the write',
    [connects, comes, '11 1.1 fdatasync(9 <unfinished ...>', written, '11 1.3 <... fdatasync resumed>) = 0', leaves],
  ],
])('a violation is found where %s', (_title, lines) => {
  expect(prove(...lines).violations).toHaveLength(1)
})

test('an acknowledgement of what never came is counted', () => {
  expect(prove(connects, written, synced, leaves)).toMatchObject({ acked: 0, unknown: 1 })
})
