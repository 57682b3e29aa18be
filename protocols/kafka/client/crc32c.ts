/** CRC-32C (Castagnoli), which record batches carry. node:zlib has CRC-32 only. */
import { createRequire } from 'node:module'

type Checksum = (data: Uint8Array) => number

let found: Checksum | undefined

/** By the native library, loaded when first called; by `crc32cByTable` where there is no binary of it. */
export function crc32c(data: Uint8Array): number {
  found ??= load()
  return found(data)
}

function load(): Checksum {
  try {
    return (createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: Checksum }).crc32c
  } catch {
    return crc32cByTable // a platform without a binary, or installed with --omit=optional
  }
}

const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** The same, slower: docs/decisions/0018-crc-and-compression.md. */
export function crc32cByTable(data: Uint8Array): number {
  let crc = -1
  for (const byte of data) crc = (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}
