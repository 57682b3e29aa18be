/**
 * What is on disk for a moment only: two files of a fixed size, written in turn. Their room is taken when they are made, so
 * that writing there changes nothing but their content, and finds no full disk.
 *
 * Each turn has a number, its generation, which stands in the first page of its file. Records follow, each from the
 * beginning of a page: a header, and a body that only the owner understands. Where the process dies while it writes, the last
 * record is not whole, and nobody was told of it.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { syncDirectory } from './reserve.ts'
import { damaged, roomIn } from './sqlite-error.ts'

export const segmentBytes = 2 * 1024 ** 2
const pageBytes = 4096
/** On a disk with less room than that there is no spool: the log and the reserve need it more. */
const leastRoomBytes = 8 * segmentBytes
/** Where there was none, it is asked again after so long; milliseconds. */
const againMs = 10_000
const magic = 0x4c505354
/** Little-endian, 32 bits each but for the generation, a double: checksum of all that follows, magic, generation, length of all. */
export const headBytes = 20

/** Where a record is. */
export interface Place {
  readonly generation: number
  readonly at: number
  readonly length: number
}

/** A record that was found; its body. */
export interface Found {
  readonly generation: number
  readonly body: Buffer
}

export class Spool {
  readonly #directory: string
  #handles: number[] = []
  #generation: number
  #at = segmentBytes // the first record begins a file
  #askAgainMs = 0

  /** Nothing that was written up to now is looked at any more: the first generation is higher than any that was. */
  constructor(directory: string, firstGeneration: number) {
    this.#directory = directory
    this.#generation = firstGeneration - 1
  }

  /** On disk. */
  get bytes(): number {
    return this.#handles.length * segmentBytes
  }

  /** Of the last record; those of it and of the one before are on disk. */
  get generation(): number {
    return this.#generation
  }

  /** Takes its room the first time, really. False where the disk has none. */
  isReady(): boolean {
    if (this.#handles.length > 0) return true
    if (performance.now() < this.#askAgainMs) return false
    if (roomIn(this.#directory) > leastRoomBytes && this.#make()) return true
    this.#askAgainMs = performance.now() + againMs
    return false
  }

  #make(): boolean {
    try {
      for (const file of filesIn(this.#directory)) this.#handles.push(makeFile(file))
      syncDirectory(this.#directory)
      return true
    } catch {
      this.remove() // a part of it is of no use
      return false
    }
  }

  /** Gives the room back to the disk; what is in there must be of no use any more. */
  remove(): void {
    this.close()
    for (const file of filesIn(this.#directory)) rmSync(file, { force: true })
    this.#at = segmentBytes
  }

  close(): void {
    for (const handle of this.#handles.splice(0)) closeSync(handle)
  }

  /** Whether a record of this length, with its header, goes into the file that is being written; else the other one begins anew. */
  hasRoomFor(length: number): boolean {
    return this.#at + length <= segmentBytes
  }

  /** On disk when it returns. The header's bytes are left free at the beginning. */
  write(record: Buffer): Place {
    if (!this.hasRoomFor(record.length)) this.#turn()
    const { length } = record
    const place = { generation: this.#generation, at: this.#at, length }
    this.#put(record, this.#at)
    this.#at += Math.ceil(length / pageBytes) * pageBytes
    return place
  }

  /** The body. */
  read({ generation, at, length }: Place): Buffer {
    const record = Buffer.allocUnsafeSlow(length)
    readSync(this.#handleOf(generation), record, 0, length, at)
    const body = bodyAt(record, 0, generation)
    if (body === undefined)
      throw new Error(`what was written to ${fileOf(this.#directory, generation)} is not there any more`)
    return body
  }

  /** By itself, and synced: a part of it must not pass for a part of what was there. */
  #turn(): void {
    this.#generation += 1
    this.#put(Buffer.alloc(headBytes), 0)
    this.#at = pageBytes
  }

  #put(record: Buffer, at: number): void {
    record.writeUInt32LE(magic, 4)
    record.writeDoubleLE(this.#generation, 8)
    record.writeUInt32LE(record.length, 16)
    record.writeUInt32LE(checksumOf(record), 0)
    const handle = this.#handleOf(this.#generation)
    for (let done = 0; done < record.length; ) done += writeSync(handle, record, done, record.length - done, at + done)
    fdatasyncSync(handle)
  }

  #handleOf(generation: number): number {
    return this.#handles[generation % 2] as number
  }
}

/**
 * The records of a process that has ended, in the order they were written, from this generation on. Throws a PermanentError,
 * STORE_DAMAGED, where a file was damaged since.
 */
export function recordsIn(directory: string, firstGeneration: number): Found[] {
  return filesIn(directory)
    .flatMap((file) => recordsOf(file, firstGeneration))
    .sort(byGeneration)
}

const byGeneration = (a: Found, b: Found): number => a.generation - b.generation

function recordsOf(file: string, firstGeneration: number): Found[] {
  const bytes = existsSync(file) ? readFileSync(file) : Buffer.of()
  const generation = generationOf(bytes)
  if (generation === undefined) {
    if (isBlank(bytes.subarray(0, headBytes))) return []
    throw damaged(file, 'its first page cannot be read')
  }
  const found: Found[] = []
  if (generation < firstGeneration) return found
  let at = pageBytes
  for (;;) {
    const body = bodyAt(bytes, at, generation)
    if (body === undefined) break
    found.push({ generation, body })
    at += Math.ceil((headBytes + body.length) / pageBytes) * pageBytes
  }
  for (; at < bytes.length; at += pageBytes) {
    // only the last one may be in pieces
    if (bodyAt(bytes, at, generation) !== undefined) throw damaged(file, 'a part of it cannot be read')
  }
  return found
}

function generationOf(bytes: Buffer): number | undefined {
  if (bytes.length < headBytes) return undefined
  const generation = bytes.readDoubleLE(8)
  return bodyAt(bytes, 0, generation) === undefined ? undefined : generation
}

/** Undefined where there is no whole record of that generation. */
function bodyAt(bytes: Buffer, at: number, generation: number): Buffer | undefined {
  if (at + headBytes > bytes.length || bytes.readUInt32LE(at + 4) !== magic) return undefined
  const length = bytes.readUInt32LE(at + 16)
  if (bytes.readDoubleLE(at + 8) !== generation || length < headBytes || at + length > bytes.length) return undefined
  const record = bytes.subarray(at, at + length)
  return checksumOf(record) === record.readUInt32LE(0) ? record.subarray(headBytes) : undefined
}

function checksumOf(record: Buffer): number {
  return crc32(record.subarray(4))
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0)
}

function filesIn(directory: string): string[] {
  return [0, 1].map((generation) => fileOf(directory, generation))
}

function fileOf(directory: string, generation: number): string {
  return join(directory, `spool-${generation % 2}`)
}

/** Written, as a sparse file has no room of its own. */
function makeFile(file: string): number {
  rmSync(file, { force: true })
  const handle = openSync(file, 'wx+', 0o600)
  try {
    const block = Buffer.alloc(64 * 1024)
    for (let written = 0; written < segmentBytes; ) written += writeSync(handle, block)
    fsyncSync(handle)
    return handle
  } catch (error) {
    closeSync(handle)
    throw error
  }
}
