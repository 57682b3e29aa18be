/** The LZ4 frame format by its library, loaded when first met. What it writes has blocks of their own, as Java demands. */
import { libraryOf } from './library.ts'

const frameMagic = 0x184d2204
const blockBytes: Readonly<Record<number, number>> = { 4: 65_536, 5: 262_144, 6: 1_048_576, 7: 4_194_304 }
/** No byte of a block stands for more. */
const mostPerByte = 255

const load = libraryOf('lz4-napi', async () => (await import('lz4-napi')).default)

export async function lz4Compress(data: Buffer): Promise<Buffer> {
  const { compressFrame } = await load()
  return compressFrame(data)
}

/** Throws what says why not: a RangeError where it may be more than `maxBytes`. */
export async function lz4Decompress(data: Buffer, maxBytes: number): Promise<Buffer> {
  if (mostOf(data) > maxBytes) throw new RangeError(`it may unfold to more than ${maxBytes} bytes`)
  const { decompressFrame } = await load()
  return decompressFrame(data)
}

/** The most that a frame can unfold to, by its blocks; of what they hold nothing is looked at. */
function mostOf(frame: Buffer): number {
  if (frame.length < 7 || frame.readUInt32LE(0) !== frameMagic) throw new RangeError('not an LZ4 frame')
  const flags = frame.readUInt8(4)
  const largestBlock = blockBytes[(frame.readUInt8(5) >> 4) & 7] ?? 4_194_304
  const checksumBytes = (flags & 0x10) === 0 ? 0 : 4
  let most = 0
  let at = 7 + ((flags & 0x08) === 0 ? 0 : 8) + ((flags & 0x01) === 0 ? 0 : 4)
  while (at + 4 <= frame.length) {
    const size = frame.readUInt32LE(at)
    if (size === 0) break
    const length = size & 0x7fff_ffff
    most += size >= 0x8000_0000 ? length : Math.min(largestBlock, length * mostPerByte)
    at += 4 + length + checksumBytes
  }
  return most
}
