/** Snappy by its library, loaded when first met: the plain block, and for reading the framing of Java clients (xerial). */
import { libraryOf } from './library.ts'

const xerialMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const xerialHeaderBytes = 16

const load = libraryOf('snappy', async () => (await import('snappy')).default)

/** A plain block, which every client reads, Java's too. */
export async function snappyCompress(data: Buffer): Promise<Buffer> {
  const { compress } = await load()
  return compress(data)
}

/** Throws what says why not: a RangeError where it would be more than `maxBytes`. */
export async function snappyDecompress(data: Buffer, maxBytes: number): Promise<Buffer> {
  const { uncompress } = await load()
  const blocks: Buffer[] = []
  let size = 0
  for (const block of blocksOf(data)) {
    size += lengthOf(block)
    if (size > maxBytes) throw new RangeError(`it unfolds to more than ${maxBytes} bytes`)
    blocks.push((await uncompress(block, { asBuffer: true })) as Buffer)
  }
  return blocks.length === 1 ? (blocks[0] as Buffer) : Buffer.concat(blocks, size)
}

function* blocksOf(data: Buffer): Generator<Buffer> {
  if (!data.subarray(0, xerialMagic.length).equals(xerialMagic)) return yield data
  for (let at = xerialHeaderBytes; at < data.length; ) {
    const end = at + 4 + data.readUInt32BE(at)
    if (end > data.length) throw new RangeError('a snappy block is cut off')
    yield data.subarray(at + 4, end)
    at = end
  }
}

/** What a block says of its length: seven bits in each byte, the lowest first. */
function lengthOf(block: Buffer): number {
  let length = 0
  for (let i = 0; i < 5; i++) {
    const byte = block.readUInt8(i)
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return length
  }
  throw new RangeError('a snappy block has no length')
}
