/**
 * What is on disk for a moment only: two files of a fixed size, written in turn. Their room is taken when they are made, so
 * that writing there changes nothing but their content, and finds no full disk.
 *
 * Each turn has a number, its generation, and a few random bytes: they stand in the first page of its file, with the end of what the other file
 * has. Records follow, each from the beginning of a page: a header, and a body that only the owner understands. Where
 * the process dies while it writes, the last record is not whole, and nobody was told of it. What was there before does not
 * know the random bytes, whatever its sender has put into it.
 */

import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { syncDirectory, takeRoom } from './reserve.ts'
import { damaged, roomIn } from './sqlite-error.ts'

export const segmentBytes = 2 * 1024 ** 2
const pageBytes = 4096
/** On a disk with less room than that there is no spool: the log and the reserve need it more. */
const leastRoomBytes = 8 * segmentBytes
/** Where there was none, it is asked again after so long; milliseconds. */
const againMs = 10_000
/** Little-endian: checksum of all that follows and length of all, 32 bits each; generation, a double; 8 bytes of the turn's own. */
export const headBytes = 24
const saltBytes = 8

/** Where a record is. */
export interface Place {
  readonly generation: number
  readonly at: number
  readonly length: number
}

/** What tells the records of one turn from all others. */
interface Turn {
  readonly generation: number
  readonly salt: Buffer
}

export class Spool {
  readonly #directory: string
  #handles: number[] = []
  /** Of each file. */
  readonly #turns: Turn[] = []
  #generation = 0
  #at = segmentBytes // the first record begins a file
  #askAgainMs = 0

  /** What files hold that are there already is of no use any more. */
  constructor(directory: string) {
    this.#directory = directory
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
    } catch (error) {
      this.remove() // a part of it is of no use
      if ((error as NodeJS.ErrnoException).code === 'EIO') throw error
      return false
    }
  }

  /** Gives the room back to the disk; what is in there must be of no use any more, also where a file stays. */
  remove(): void {
    this.close()
    this.#at = segmentBytes
    for (const file of filesIn(this.#directory)) {
      try {
        rmSync(file, { force: true })
      } catch {}
    }
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
    if (!this.hasRoomFor(record.length))
      throw new RangeError(`a record of ${record.length} bytes is longer than its file`)
    const { length } = record
    const place = { generation: this.#generation, at: this.#at, length }
    this.#put(record, this.#at)
    this.#at += wholePages(length)
    return place
  }

  /** The body. */
  read({ generation, at, length }: Place): Buffer {
    const record = Buffer.allocUnsafeSlow(length)
    readSync(this.#handleOf(generation), record, 0, length, at)
    const turn = this.#turns[generation % 2]
    const body = turn?.generation === generation ? bodyAt(record, 0, turn) : undefined
    if (body === undefined)
      throw new Error(`what was written to ${fileOf(this.#directory, generation)} is not there any more`)
    return body
  }

  /** By itself, and synced: a part of it must not pass for a part of what was there. */
  #turn(): void {
    const first = Buffer.alloc(firstPageBytes)
    first.writeUInt32LE(this.#at, headBytes)
    this.#generation += 1
    this.#turns[this.#generation % 2] = { generation: this.#generation, salt: randomBytes(saltBytes) }
    this.#put(first, 0)
    this.#at = pageBytes
  }

  #put(record: Buffer, at: number): void {
    record.writeUInt32LE(record.length, 4)
    record.writeDoubleLE(this.#generation, 8)
    record.set((this.#turns[this.#generation % 2] as Turn).salt, 16)
    record.writeUInt32LE(checksumOf(record), 0)
    const handle = this.#handleOf(this.#generation)
    for (let done = 0; done < record.length; ) done += writeSync(handle, record, done, record.length - done, at + done)
    fdatasyncSync(handle)
  }

  #handleOf(generation: number): number {
    return this.#handles[generation % 2] as number
  }
}

/** The first page of a turn: a header, and where the other file ended. */
const firstPageBytes = headBytes + 4

/** What one file holds. */
interface Content {
  readonly file: string
  readonly generation: number
  readonly otherEnd: number
  readonly bodies: readonly Buffer[]
  readonly end: number
}

/**
 * The bodies of the records of a process that has ended, in the order they were written. Throws a PermanentError,
 * STORE_DAMAGED, where a file was damaged since.
 */
export function recordsIn(directory: string): { readonly generation: number; readonly body: Buffer }[] {
  const contents = filesIn(directory).flatMap(contentOf).sort(byGeneration)
  const [earlier, later] = contents
  // only the last record of all may be in pieces
  if (earlier !== undefined && later !== undefined && earlier.end !== later.otherEnd)
    throw damaged(earlier.file, 'its end cannot be read')
  return contents.flatMap(({ generation, bodies }) => bodies.map((body) => ({ generation, body })))
}

const byGeneration = (a: Content, b: Content): number => a.generation - b.generation

function contentOf(file: string): Content[] {
  const bytes = existsSync(file) ? readFileSync(file) : Buffer.of()
  if (bytes.length !== segmentBytes) throw damaged(file, 'it is missing, or a part of it')
  const turn = { generation: bytes.readDoubleLE(8), salt: bytes.subarray(16, headBytes) }
  const first = bodyAt(bytes, 0, turn)
  if (first === undefined) {
    if (bytes.equals(Buffer.alloc(segmentBytes))) return [] // nothing was written there yet
    throw damaged(file, 'its first page cannot be read')
  }
  const bodies: Buffer[] = []
  let end = pageBytes
  for (let body = bodyAt(bytes, end, turn); body !== undefined; body = bodyAt(bytes, end, turn)) {
    bodies.push(body)
    end += wholePages(headBytes + body.length)
  }
  for (let at = end; at < bytes.length; at += pageBytes) {
    if (bodyAt(bytes, at, turn) !== undefined) throw damaged(file, 'a part of it cannot be read')
  }
  return [{ file, generation: turn.generation, otherEnd: first.readUInt32LE(0), bodies, end }]
}

/** Undefined where there is no whole record of that turn. */
function bodyAt(bytes: Buffer, at: number, { generation, salt }: Turn): Buffer | undefined {
  if (at + headBytes > bytes.length) return undefined
  const length = bytes.readUInt32LE(at + 4)
  if (bytes.readDoubleLE(at + 8) !== generation || length <= headBytes || at + length > bytes.length) return undefined
  const record = bytes.subarray(at, at + length)
  const isOfTurn = record.subarray(16, headBytes).equals(salt) && checksumOf(record) === record.readUInt32LE(0)
  return isOfTurn ? record.subarray(headBytes) : undefined
}

/** The next record begins behind them. */
function wholePages(bytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes
}

function checksumOf(record: Buffer): number {
  return crc32(record.subarray(4))
}

function filesIn(directory: string): string[] {
  return [0, 1].map((generation) => fileOf(directory, generation))
}

function fileOf(directory: string, generation: number): string {
  return join(directory, `spool-${generation % 2}`)
}

function makeFile(file: string): number {
  rmSync(file, { force: true })
  const handle = openSync(file, 'wx+', 0o600)
  try {
    takeRoom(handle, segmentBytes, Buffer.alloc(64 * 1024))
    return handle
  } catch (error) {
    closeSync(handle)
    throw error
  }
}
