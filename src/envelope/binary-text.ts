/**
 * Bytes where an envelope has a text: a correlation id of another system may be any. What is no UTF-8 is `base64:…`, and
 * protocols whose field holds bytes give the very same ones back.
 */
import { isUtf8 } from 'node:buffer'
import { bytesOf } from './typed.ts'

const mark = 'base64:'

/** The text of bytes, behind the mark where they are none, or would be taken for a marked one. */
export function textOfBytes(bytes: Uint8Array): string {
  const buffer = bytesOf(bytes)
  const text = buffer.toString('utf8')
  const isText = !text.includes('\ufffd') || isUtf8(buffer)
  return isText && !isMarked(text) ? text : mark + buffer.toString('base64url')
}

/** The text of bytes from where texts are written as they stand, marked ones too: behind the mark where they are no UTF-8. */
export function readableText(bytes: Uint8Array): string {
  const text = bytesOf(bytes).toString('utf8')
  return text.includes('\ufffd') && !isUtf8(bytes) ? textOfBytes(bytes) : text
}

/** The bytes that `textOfBytes` made this text of; undefined: it is a text of its own. */
export function markedBytes(text: string): Buffer | undefined {
  return isMarked(text) ? bytesBehind(text) : undefined
}

export function isMarked(text: string): boolean {
  if (!text.startsWith(mark)) return false
  const bytes = bytesBehind(text)
  if (mark + bytes.toString('base64url') !== text) return false
  return !isUtf8(bytes) || isMarked(bytes.toString('utf8'))
}

function bytesBehind(text: string): Buffer {
  return Buffer.from(text.slice(mark.length), 'base64url')
}
