/** CRC-32C (Castagnoli), which record batches carry; eight bytes at a step over eight tables. node:zlib has CRC-32 only. */
const tables = makeTables()

export function crc32c(data: Uint8Array): number {
  const t = tables // a local is read faster than a module's variable
  const { length } = data
  const even = length - (length % 8)
  let crc = -1
  let i = 0
  for (; i < even; i += 8) {
    crc ^= byte(data, i) | (byte(data, i + 1) << 8) | (byte(data, i + 2) << 16) | (byte(data, i + 3) << 24)
    crc =
      at(t, 1792 + (crc & 0xff)) ^
      at(t, 1536 + ((crc >>> 8) & 0xff)) ^
      at(t, 1280 + ((crc >>> 16) & 0xff)) ^
      at(t, 1024 + (crc >>> 24)) ^
      at(t, 768 + byte(data, i + 4)) ^
      at(t, 512 + byte(data, i + 5)) ^
      at(t, 256 + byte(data, i + 6)) ^
      at(t, byte(data, i + 7))
  }
  for (; i < length; i++) crc = at(t, (crc ^ byte(data, i)) & 0xff) ^ (crc >>> 8)
  return ~crc >>> 0
}

function byte(data: Uint8Array, index: number): number {
  return data[index] as number
}

function at(table: Int32Array, index: number): number {
  return table[index] as number
}

/** Table k, at 256 k, advances a byte by k further bytes. */
function makeTables(): Int32Array {
  const made = new Int32Array(8 * 256)
  for (let i = 0; i < 256; i++) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    made[i] = crc
  }
  for (let i = 256; i < made.length; i++) {
    const before = at(made, i - 256)
    made[i] = at(made, before & 0xff) ^ (before >>> 8)
  }
  return made
}
