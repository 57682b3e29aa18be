/**
 * The spool of formats 3 to 5: two files of a fixed size, written in turn, for what was on disk for a moment only.
 *
 * Each turn has a number, its generation, and a few random bytes: they stand in the first page of its file, with the end of what the other file
 * has. Records follow, each from the beginning of a page: a header, and a body. Where the process died while it wrote, the last record is
 * not whole, and nobody was told of it. What was there before does not know the random bytes, whatever its sender has put into it.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { damaged } from '../sqlite-error.ts'

const segmentBytes = 2 * 1024 ** 2
const pageBytes = 4096
/** Little-endian: checksum of all that follows and length of all, 32 bits each; generation, a double; 8 bytes of the turn's own. */
const headBytes = 24

/** What tells the records of one turn from all others. */
interface Turn {
  readonly generation: number
  readonly salt: Buffer
}

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

/** What was in there is in the database now. */
export function removeSpool(directory: string): void {
  for (const file of filesIn(directory)) rmSync(file, { force: true })
}
