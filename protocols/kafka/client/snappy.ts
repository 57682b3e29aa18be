/** Reading of Snappy: the plain block, and the framing that Java clients put around it (xerial). */

const xerialMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const xerialHeaderBytes = 16

export function snappyDecompress(data: Buffer, maxBytes: number): Buffer {
  if (!data.subarray(0, 8).equals(xerialMagic)) return decompressBlock(data, maxBytes)
  const blocks: Buffer[] = []
  let size = 0
  for (let at = xerialHeaderBytes; at < data.length; ) {
    const length = data.readUInt32BE(at)
    const block = decompressBlock(data.subarray(at + 4, at + 4 + length), maxBytes - size)
    size += block.length
    blocks.push(block)
    at += 4 + length
  }
  return Buffer.concat(blocks, size)
}

function decompressBlock(data: Buffer, maxBytes: number): Buffer {
  const header = readLength(data)
  if (header.length > maxBytes) throw new RangeError('a snappy block is too large')
  const out = Buffer.allocUnsafe(header.length)
  let at = header.next
  let end = 0
  while (at < data.length) {
    const tag = data.readUInt8(at)
    if ((tag & 3) === 0) {
      const extra = Math.max(0, (tag >> 2) - 59)
      const length = (extra === 0 ? tag >> 2 : data.readUIntLE(at + 1, extra)) + 1
      at += 1 + extra
      end = append(out, end, data.subarray(at, at + length), length)
      at += length
    } else {
      const copy = readCopy(data, at, tag)
      end = repeat(out, end, copy)
      at = copy.next
    }
  }
  if (end !== out.length) throw new RangeError('a snappy block ends too early')
  return out
}

function readLength(data: Buffer): { length: number; next: number } {
  let length = 0
  for (let next = 0; next < 5; next++) {
    const byte = data.readUInt8(next)
    length += (byte & 0x7f) * 2 ** (7 * next)
    if (byte < 0x80) return { length, next: next + 1 }
  }
  throw new RangeError('a snappy block has no length')
}

interface Copy {
  readonly distance: number
  readonly length: number
  readonly next: number
}

function readCopy(data: Buffer, at: number, tag: number): Copy {
  if ((tag & 3) === 1) {
    return { distance: ((tag >> 5) << 8) | data.readUInt8(at + 1), length: ((tag >> 2) & 7) + 4, next: at + 2 }
  }
  const wide = (tag & 3) === 3
  const distance = wide ? data.readUInt32LE(at + 1) : data.readUInt16LE(at + 1)
  return { distance, length: (tag >> 2) + 1, next: at + (wide ? 5 : 3) }
}

function append(out: Buffer, end: number, bytes: Buffer, length: number): number {
  if (bytes.length !== length || end + length > out.length) throw new RangeError('a snappy block is broken')
  out.set(bytes, end)
  return end + length
}

/** Source and destination may overlap: that is how runs are written. */
export function repeat(out: Buffer, end: number, copy: { distance: number; length: number }): number {
  const from = end - copy.distance
  if (copy.distance === 0 || from < 0 || end + copy.length > out.length) throw new RangeError('a copy is out of range')
  if (copy.distance >= copy.length) out.copyWithin(end, from, from + copy.length)
  else for (let i = 0; i < copy.length; i++) out[end + i] = out[from + i] as number
  return end + copy.length
}
