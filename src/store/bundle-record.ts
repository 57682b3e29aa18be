/**
 * What the spool holds of one transaction, little-endian: the length of the messages (32 bits), the messages, and which messages of this
 * and earlier bundles have left.
 *
 * A message: id and received as doubles; route, wanted, bytes and the lengths of key, params, fields and payload as 32 bits;
 * then these four. A length of -1 stands for null; that of a key of bytes is told as -2 less it. What has left: the bundle's id as a double, the
 * length of its bits (32 bits; 0: all of it has left), the bits.
 */
import type { BundledRow } from './bundle.ts'
import type { InsertRow } from './outbox-rows.ts'
import { headBytes } from './spool.ts'

const messagesAt = headBytes + 4
const messageHeadBytes = 44
const goneHeadBytes = 12
const nullLength = -1
const noBytes = -2
const startBytes = 64 * 1024

/** Writes one transaction after the other into the same memory: nothing is left to be collected. */
export class BundleRecord {
  #buffer = Buffer.allocUnsafeSlow(startBytes)
  #length = messagesAt
  #messagesEnd = messagesAt

  clear(): void {
    this.#length = messagesAt
    this.#messagesEnd = messagesAt
  }

  get isEmpty(): boolean {
    return this.#length === messagesAt
  }

  get length(): number {
    return this.#length
  }

  /** The messages, as `messagesIn` has them. Valid until the next `clear`. */
  get messages(): Buffer {
    return this.#buffer.subarray(messagesAt, this.#messagesEnd)
  }

  /** The whole, for the spool. Valid until the next `clear`. */
  get bytes(): Buffer {
    this.#buffer.writeUInt32LE(this.#messagesEnd - messagesAt, headBytes)
    return this.#buffer.subarray(0, this.#length)
  }

  /** Before any that have left. */
  add({ id, route, wanted, bytes, received, key, params, fields, payload }: BundledRow): void {
    const texts = (key?.length ?? 0) + (params?.length ?? 0) + fields.length
    this.#ensure(messageHeadBytes + 3 * texts + (payload?.byteLength ?? 0))
    const buffer = this.#buffer
    const at = this.#length
    buffer.writeDoubleLE(id, at)
    buffer.writeDoubleLE(received, at + 8)
    buffer.writeUInt32LE(route, at + 16)
    buffer.writeInt32LE(wanted, at + 20)
    buffer.writeUInt32LE(bytes, at + 24)
    this.#length += messageHeadBytes
    buffer.writeInt32LE(this.#addKey(key), at + 28)
    buffer.writeInt32LE(params === null ? nullLength : this.#addText(params), at + 32)
    buffer.writeInt32LE(this.#addText(fields), at + 36)
    buffer.writeInt32LE(payload === null ? nullLength : this.#addBytes(payload), at + 40)
    this.#messagesEnd = this.#length
  }

  /** What has left a bundle by now; no bits: all. */
  addGone(bundle: number, gone: Uint8Array | undefined): void {
    this.#ensure(goneHeadBytes + (gone?.byteLength ?? 0))
    this.#buffer.writeDoubleLE(bundle, this.#length)
    this.#buffer.writeUInt32LE(gone?.byteLength ?? 0, this.#length + 8)
    this.#length += goneHeadBytes
    if (gone !== undefined) this.#addBytes(gone)
  }

  #addKey(key: string | Uint8Array | null): number {
    if (key === null) return nullLength
    return typeof key === 'string' ? this.#addText(key) : noBytes - this.#addBytes(key)
  }

  #addText(text: string): number {
    const written = this.#buffer.write(text, this.#length)
    this.#length += written
    return written
  }

  #addBytes(bytes: Uint8Array): number {
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.byteLength
    return bytes.byteLength
  }

  #ensure(more: number): void {
    if (this.#length + more <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#length + more))
    larger.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = larger
  }
}

/** The messages in a record's body. */
export function messagesIn(body: Buffer): Buffer {
  return body.subarray(4, 4 + body.readUInt32LE(0))
}

/** Bundles that have lost some since, with the bits of what has left; undefined: all. */
export function* goneIn(body: Buffer): Generator<[bundle: number, gone: Buffer | undefined]> {
  let at = 4 + body.readUInt32LE(0)
  while (at < body.length) {
    const bits = at + goneHeadBytes
    const length = body.readUInt32LE(at + 8)
    yield [body.readDoubleLE(at), length === 0 ? undefined : body.subarray(bits, bits + length)]
    at = bits + length
  }
}

/** The bundle's id. */
export function firstIdOf(messages: Buffer): number {
  return messages.readDoubleLE(0)
}

/** Inside a transaction: messages of `messagesIn` become rows of the outbox, those that are still open. */
export function insertOpen(messages: Buffer, insertRow: InsertRow, isOpen: (id: number) => boolean): void {
  for (const row of rowsOf(messages)) if (isOpen(row.id)) insertRow({ ...row, due: 0, ranked: null, requeues: 0 })
}

function* rowsOf(messages: Buffer): Generator<BundledRow> {
  let at = 0
  const take = (length: number) => {
    const from = at
    at += length
    return messages.subarray(from, at)
  }
  while (at < messages.length) {
    const head = take(messageHeadBytes)
    const [keyLength, paramsLength, fieldsLength, payloadLength] = [28, 32, 36, 40].map((place) =>
      head.readInt32LE(place),
    )
    yield {
      id: head.readDoubleLE(0),
      received: head.readDoubleLE(8),
      route: head.readUInt32LE(16),
      wanted: head.readInt32LE(20),
      bytes: head.readUInt32LE(24),
      key: keyOf(keyLength as number, take),
      params: paramsLength === nullLength ? null : take(paramsLength as number).toString(),
      fields: take(fieldsLength as number).toString(),
      payload: payloadLength === nullLength ? null : take(payloadLength as number),
    }
  }
}

function keyOf(length: number, take: (length: number) => Buffer): string | Uint8Array | null {
  if (length === nullLength) return null
  return length >= 0 ? take(length).toString() : take(noBytes - length)
}
