/** Reading of the LZ4 frame format (checksums are left to the record batch's own). */
import { repeat } from './snappy.ts'

const frameMagic = 0x184d2204
const blockBytes: Readonly<Record<number, number>> = { 4: 65_536, 5: 262_144, 6: 1_048_576, 7: 4_194_304 }

export function lz4Decompress(data: Buffer, maxBytes: number): Buffer {
  if (data.readUInt32LE(0) !== frameMagic) throw new RangeError('not an LZ4 frame')
  const flags = data.readUInt8(4)
  const largestBlock = blockBytes[(data.readUInt8(5) >> 4) & 7] ?? 4_194_304
  const hasBlockChecksum = (flags & 0x10) !== 0
  let at = 7 + ((flags & 0x08) !== 0 ? 8 : 0) + ((flags & 0x01) !== 0 ? 4 : 0)
  const out = new Growing(largestBlock, maxBytes)
  for (let size = data.readUInt32LE(at); size !== 0; size = data.readUInt32LE(at)) {
    const length = size & 0x7fffffff
    const block = data.subarray(at + 4, at + 4 + length)
    out.reserve(largestBlock)
    if (size >= 0x8000_0000) out.end += block.copy(out.buffer, out.end)
    else decompressBlock(block, out)
    at += 4 + length + (hasBlockChecksum ? 4 : 0)
  }
  return out.buffer.subarray(0, out.end)
}

/** Blocks may refer to what earlier blocks wrote, so that all of them share one buffer. */
class Growing {
  buffer: Buffer
  end = 0
  readonly #maxBytes: number

  constructor(size: number, maxBytes: number) {
    this.buffer = Buffer.allocUnsafe(size)
    this.#maxBytes = maxBytes
  }

  reserve(length: number): void {
    if (this.end + length <= this.buffer.length) return
    if (this.end > this.#maxBytes) throw new RangeError('an LZ4 frame is too large')
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.end + length))
    this.buffer.copy(larger, 0, 0, this.end)
    this.buffer = larger
  }
}

function decompressBlock(block: Buffer, out: Growing): void {
  let at = 0
  const extended = (start: number) => {
    let length = start
    if (start < 15) return length
    let byte: number
    do {
      byte = block.readUInt8(at++)
      length += byte
    } while (byte === 255)
    return length
  }
  while (at < block.length) {
    const token = block.readUInt8(at++)
    const literals = extended(token >> 4)
    if (at + literals > block.length || out.end + literals > out.buffer.length)
      throw new RangeError('an LZ4 block is broken')
    out.end += block.copy(out.buffer, out.end, at, at + literals)
    at += literals
    if (at >= block.length) return // the last sequence has no copy
    const distance = block.readUInt16LE(at)
    at += 2
    out.end = repeat(out.buffer, out.end, { distance, length: extended(token & 15) + 4 })
  }
}
