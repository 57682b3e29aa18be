/** A bundle: the messages of one transaction in one row, and which of them have left. */
import type { OutboxRow } from './outbox-rows.ts'

/** A message in a bundle: one without a priority, that may go now. */
export type BundledRow = Omit<OutboxRow, 'due' | 'ranked' | 'requeues'>

/** Of one route, in one bundle. */
interface Share {
  open: number
  lastId: number
  /** Of its first message; milliseconds since the epoch. */
  readonly receivedAt: number
}

/** What memory keeps of a bundle on disk. */
export class Bundle {
  readonly id: number
  readonly bytes: number
  readonly writtenMs = performance.now()
  readonly shares: ReadonlyMap<number, Share>
  /** One bit for each id from the first to the last; set: it has left, or was never in here. */
  readonly gone: Uint8Array
  readonly #lastId: number
  open: number

  constructor(draft: Draft) {
    const { firstId, ids, bytes, shares } = draft
    this.id = firstId
    this.bytes = bytes
    this.shares = shares
    this.open = ids.length
    this.#lastId = ids.at(-1) ?? firstId
    this.gone = new Uint8Array(Math.ceil((this.#lastId - firstId + 1) / 8)).fill(0xff)
    for (const id of ids) this.#flip(id)
  }

  /** No other bundle does. */
  covers(id: number): boolean {
    return id >= this.id && id <= this.#lastId
  }

  /** True while this message is in here. */
  has(id: number): boolean {
    return this.covers(id) && !isSet(this.gone, id - this.id)
  }

  leave(id: number, route: number): void {
    this.#change(id, route, -1)
  }

  comeBack(id: number, route: number): void {
    this.#change(id, route, 1)
  }

  #change(id: number, route: number, by: number): void {
    this.#flip(id)
    this.open += by
    const share = this.shares.get(route)
    if (share !== undefined) share.open += by
  }

  #flip(id: number): void {
    const at = id - this.id
    const byte = at >>> 3
    this.gone[byte] = (this.gone[byte] as number) ^ (1 << (at & 7))
  }
}

/** A bundle to be. */
export class Draft {
  readonly firstId: number
  readonly ids: number[] = []
  readonly shares = new Map<number, Share>()
  bytes = 0
  readonly #writer: BundleWriter

  /** The writer is this draft's until it is written. */
  constructor(first: BundledRow, writer: BundleWriter) {
    this.firstId = first.id
    this.#writer = writer
    writer.clear()
  }

  add(row: BundledRow): void {
    this.ids.push(row.id)
    this.bytes += row.bytes
    this.#writer.add(row)
    const share = this.shares.get(row.route)
    if (share === undefined) this.shares.set(row.route, { open: 1, lastId: row.id, receivedAt: row.received })
    else {
      share.open += 1
      share.lastId = row.id
    }
  }
}

/**
 * A message in the row of a bundle, little-endian: id and received as doubles; route, wanted, bytes and the lengths of key,
 * params, fields and payload as 32 bits; then these four. A length of -1 stands for null; that of a key of bytes
 * is told as -2 less it.
 */
const headBytes = 44
const nullLength = -1
const noBytes = -2
const startBytes = 64 * 1024

/** Writes messages one behind the other, into the same memory for every bundle: nothing is left to be collected. */
export class BundleWriter {
  #buffer = Buffer.allocUnsafeSlow(startBytes)
  #length = 0

  clear(): void {
    this.#length = 0
  }

  /** Valid until the next `clear`. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  add({ id, route, wanted, bytes, received, key, params, fields, payload }: BundledRow): void {
    const texts = (key?.length ?? 0) + (params?.length ?? 0) + fields.length
    this.#ensure(headBytes + 3 * texts + (payload?.byteLength ?? 0))
    const buffer = this.#buffer
    const at = this.#length
    buffer.writeDoubleLE(id, at)
    buffer.writeDoubleLE(received, at + 8)
    buffer.writeUInt32LE(route, at + 16)
    buffer.writeInt32LE(wanted, at + 20)
    buffer.writeUInt32LE(bytes, at + 24)
    this.#length += headBytes
    buffer.writeInt32LE(this.#addKey(key), at + 28)
    buffer.writeInt32LE(params === null ? nullLength : this.#addText(params), at + 32)
    buffer.writeInt32LE(this.#addText(fields), at + 36)
    buffer.writeInt32LE(payload === null ? nullLength : this.#addBytes(payload), at + 40)
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
    larger.set(this.bytes)
    this.#buffer = larger
  }
}

export function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0
}

/** What `BundleWriter` wrote. */
export function* rowsOf(bytes: Uint8Array): Generator<BundledRow> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const take = (length: number) => {
    const from = at
    at += length
    return buffer.subarray(from, at)
  }
  while (at < buffer.length) {
    const head = take(headBytes)
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
