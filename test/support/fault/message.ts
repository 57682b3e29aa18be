/** What a test sends: a message that says who it is and proves that no bit of it has changed. */
import { crc32 } from 'node:zlib'

export interface MessageId {
  readonly key: string
  /** Counts from 0 within the key, without gaps. */
  readonly n: number
}

/** 64 KiB of letters that repeat nowhere soon: every message is padded with another stretch. */
const letters = Buffer.from(
  Array.from({ length: 49_152 }, (_, at) => crc32(Buffer.from(`pad ${at}`)) & 0xff) as number[],
).toString('base64url')
const crcTail = ',"crc":"00000000"}'.length

/** JSON of about `bytes` bytes, at least what its fields need; `crc` is that of everything before it. */
export function encodeMessage({ key, n }: MessageId, bytes = 0): Buffer {
  const head = `{"key":"${key}","n":${n},"pad":"`
  const padding = Math.min(Math.max(0, bytes - head.length - 1 - crcTail), letters.length / 2)
  const from = (n * 31) % (letters.length / 2)
  const body = `${head}${letters.slice(from, from + padding)}"`
  return Buffer.from(body + tailOf(Buffer.from(body, 'latin1')), 'latin1')
}

/** Undefined where as much as one bit differs from what was encoded. */
export function decodeMessage(payload: Uint8Array): MessageId | undefined {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  const body = bytes.subarray(0, Math.max(0, bytes.length - crcTail))
  if (bytes.toString('latin1', body.length) !== tailOf(body)) return undefined
  const found = /^\{"key":"([^"]*)","n":(\d+),/.exec(body.toString('latin1', 0, 100))
  return found === null ? undefined : { key: found[1]!, n: Number(found[2]) }
}

function tailOf(body: Uint8Array): string {
  return `,"crc":"${crc32(body).toString(16).padStart(8, '0')}"}`
}
