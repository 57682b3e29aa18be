import { statfsSync } from 'node:fs'
import { GatewayError, messageOf, PermanentError } from '../errors.ts'

/** What a failed call of SQLite says about the world. */
export type Cause = 'in-use' | 'full' | 'disk' | 'damaged' | 'other'

const primary: Readonly<Record<number, Cause>> = {
  3: 'disk', // SQLITE_PERM
  5: 'in-use', // SQLITE_BUSY
  6: 'in-use', // SQLITE_LOCKED
  8: 'disk', // SQLITE_READONLY
  10: 'disk', // SQLITE_IOERR
  11: 'damaged', // SQLITE_CORRUPT
  13: 'full', // SQLITE_FULL
  14: 'disk', // SQLITE_CANTOPEN
  26: 'damaged', // SQLITE_NOTADB
}
const ioErrorFsync = 1034

/** `directory`: an I/O error there counts as full where the disk has no room left, but never a failed fsync. */
export function causeOf(error: unknown, directory?: string): Cause {
  const { errcode, code } = error as { errcode?: number; code?: string }
  if (typeof errcode !== 'number')
    return code === 'ENOSPC' ? 'full' : typeof code === 'string' && /^E[A-Z]+$/.test(code) ? 'disk' : 'other'
  const cause = primary[errcode & 0xff] ?? 'other'
  const mayBeFull = cause === 'disk' && errcode !== ioErrorFsync && directory !== undefined
  return mayBeFull && roomIn(directory) === 0 ? 'full' : cause
}

/** Bytes this process may still write; Infinity where the system does not say. */
export function roomIn(directory: string): number {
  try {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** What `read` reads. Throws a PermanentError, STORE_DAMAGED, where the file does not hold what was written. */
export function readSafely<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof GatewayError) throw error
    const text = `the store cannot be read: ${messageOf(error)}; copy its directory away before anything else`
    throw new PermanentError('STORE_DAMAGED', text, { cause: error })
  }
}

/** Tells which file it is and what to do. */
export function damaged(file: string, found: string, cause?: unknown): PermanentError {
  const text = `${file} is damaged: ${found.replaceAll(/\s+/g, ' ')}. Copy the directory away before anything else`
  const next = 'then restore a backup, or start with an empty directory'
  return new PermanentError('STORE_DAMAGED', `${text}, ${next}`, { cause })
}
