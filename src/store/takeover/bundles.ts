/**
 * Bundles, of formats 2 to 5: messages of one transaction, little-endian: the length of the messages (32 bits), the messages, and which
 * messages of this and earlier bundles have left.
 *
 * A message: id and received as doubles; route, wanted, bytes and the lengths of key, params, fields and payload as 32 bits;
 * then these four. A length of -1 stands for null; that of a key of bytes is told as -2 less it. What has left: the bundle's id as a double, the
 * length of its bits (32 bits; 0: all of it has left), the bits.
 */
import type { DatabaseSync } from 'node:sqlite'
import { allOf, firstOf } from '../rows.ts'
import { recordsIn } from './spool.ts'

const messageHeadBytes = 44
const goneHeadBytes = 12
const nullLength = -1
const noBytes = -2

interface BundledMessage {
  readonly id: number
  readonly route: number
  readonly wanted: number
  readonly bytes: number
  readonly received: number
  readonly key: string | Uint8Array | null
  readonly params: string | null
  readonly fields: string
  readonly payload: Uint8Array | null
}

/** Format 2 had them as rows: the messages of one transaction, and a bit for each that had left. */
export function leaveBundleTables(database: DatabaseSync): void {
  const bundles = database.prepare(
    'SELECT id, messages, gone FROM bundles LEFT JOIN bundles_gone USING (id) ORDER BY id',
  )
  const rows = allOf<{ id: number; messages: Uint8Array; gone: Uint8Array | null }>(bundles)
  for (const { id, messages, gone } of rows) {
    insertOpen(database, Buffer.from(messages), (message) => gone === null || !isSet(gone, message - id))
  }
  database.exec(`
    DROP TABLE bundles;
    DROP TABLE bundles_gone;
    CREATE TABLE unpacked (bundle INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
    INSERT INTO meta VALUES ('spool', 0);
  `)
}

/** Formats 3 to 5 had them in the spool: what a process that died has left there becomes rows. Inside a transaction. */
export function leaveSpool(database: DatabaseSync, directory: string): void {
  if (firstOf<{ value: number }>(database.prepare("SELECT value FROM meta WHERE name = 'spool'"))?.value !== 1) return
  const isUnpacked = database.prepare('SELECT 1 FROM unpacked WHERE bundle = ? AND generation = ?')
  for (const [id, { generation, messages, gone }] of bundlesIn(directory)) {
    if (isUnpacked.get(id, generation) !== undefined) continue
    insertOpen(database, messages, (message) => !isSet(gone, message - id))
  }
}

interface Left {
  readonly generation: number
  readonly messages: Buffer
  gone: Uint8Array
}

/** By their ids, in order; without those that have left as a whole. */
function bundlesIn(directory: string): Map<number, Left> {
  const bundles = new Map<number, Left>()
  for (const { generation, body } of recordsIn(directory)) {
    const messages = messagesIn(body)
    if (messages.length > 0) bundles.set(firstIdOf(messages), { generation, messages, gone: Buffer.of() })
    for (const [id, gone] of goneIn(body)) {
      const bundle = bundles.get(id)
      if (bundle !== undefined && gone !== undefined) bundle.gone = gone
      else bundles.delete(id)
    }
  }
  return bundles
}

/** The messages in a record's body. */
function messagesIn(body: Buffer): Buffer {
  return body.subarray(4, 4 + body.readUInt32LE(0))
}

/** Bundles that have lost some since, with the bits of what has left; undefined: all. */
function* goneIn(body: Buffer): Generator<[bundle: number, gone: Buffer | undefined]> {
  let at = 4 + body.readUInt32LE(0)
  while (at < body.length) {
    const bits = at + goneHeadBytes
    const length = body.readUInt32LE(at + 8)
    yield [body.readDoubleLE(at), length === 0 ? undefined : body.subarray(bits, bits + length)]
    at = bits + length
  }
}

/** The bundle's id. */
function firstIdOf(messages: Buffer): number {
  return messages.readDoubleLE(0)
}

/** Inside a transaction: messages become rows of the outbox, those that are still open. */
function insertOpen(database: DatabaseSync, messages: Buffer, isOpen: (id: number) => boolean): void {
  const insert = database.prepare(
    `INSERT INTO outbox (id, route, due, wanted, bytes, received, key, params, fields, payload)
     VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?)`,
  )
  for (const { id, route, wanted, bytes, received, key, params, fields, payload } of rowsOf(messages)) {
    if (isOpen(id)) insert.run(id, route, wanted, bytes, received, key, params, fields, payload)
  }
}

function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0
}

function* rowsOf(messages: Buffer): Generator<BundledMessage> {
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
