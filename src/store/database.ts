/** The file: opened by one process at a time, checked before it is trusted, closed to other users of the machine. */
import { closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Log } from '../adapter/contract.ts'
import { GatewayError, messageOf, PermanentError } from '../errors.ts'
import { checkOwnFiles } from './own-files.ts'
import { releaseReserve, syncDirectory } from './reserve.ts'
import { applicationId, migrations } from './schema.ts'
import { causeOf, damaged } from './sqlite-error.ts'
import { removeSpool } from './takeover/spool.ts'

/** Up to this size the file is checked at every start, beyond it only after a crash; about a second. */
const alwaysCheckedBytes = 512 * 1024 ** 2
/** Pages of 4 KiB in memory; negative: KiB. */
const cacheSize = -4 * 1024

/** The store carries the log over by itself, with care (see write-ahead-log.ts); SQLite steps in where it grows long all the same. */
const backstopPages = 4096

export interface OpenedDatabase {
  readonly database: DatabaseSync
  readonly file: string
  /** False when the process that had it before died. */
  readonly wasClean: boolean
}

/**
 * Throws a PermanentError: STORE_IN_USE while another process has it, STORE_DAMAGED where it cannot be trusted,
 * STORE_FAILED where the disk refuses.
 */
export function openDatabase(directory: string, log: Log): OpenedDatabase {
  const file = join(directory, 'trivium.db')
  try {
    return open(directory, file, log)
  } catch (error) {
    if (causeOf(error, directory) !== 'full' || !releaseReserve(directory)) throw openingError(error, directory, file)
  }
  try {
    return open(directory, file, log)
  } catch (error) {
    throw openingError(error, directory, file)
  }
}

function open(directory: string, file: string, log: Log): OpenedDatabase {
  let database: DatabaseSync | undefined
  try {
    checkOwnFiles(directory, log)
    createFile(directory, file)
    database = new DatabaseSync(file)
    lock(database)
    migrate(database, directory, file)
    removeSpool(directory)
    const wasClean = firstValue(database, "SELECT value FROM meta WHERE name = 'clean'") === 1
    if (!wasClean || statSync(file).size <= alwaysCheckedBytes) check(database, file)
    database.exec(beginning)
    return { database, file, wasClean }
  } catch (error) {
    database?.close()
    throw error
  }
}

/** Whatever opening met, as an error that says what to do. */
export function openingError(error: unknown, directory: string, file: string): GatewayError {
  if (error instanceof GatewayError) return error
  const cause = causeOf(error)
  if (cause === 'in-use') {
    const text = `another process uses the store in ${directory}: one gateway per directory (gateway.dataDir)`
    return new PermanentError('STORE_IN_USE', text, { cause: error })
  }
  if (cause === 'disk' || cause === 'full') {
    return new PermanentError('STORE_FAILED', `the store in ${directory} cannot be opened: ${messageOf(error)}`, {
      cause: error,
    })
  }
  return damaged(file, messageOf(error), error)
}

const beginning = "UPDATE meta SET value = 0 WHERE name = 'clean'"

/** SQLite would create it for all to read; its log takes its rights from it. */
function createFile(directory: string, file: string): void {
  makeDirectory(directory)
  closeSync(openSync(file, 'a', 0o600))
  syncDirectory(directory)
}

/** One at a time: `recursive` never returns below /proc (Node 24), and hides why a directory cannot be made. */
function makeDirectory(directory: string): void {
  if (existsSync(directory)) return
  const parent = dirname(directory)
  if (parent !== directory) makeDirectory(parent)
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error // another process was faster: the lock decides
  }
  syncDirectory(parent)
}

/** Exclusive before the log is opened: then no shared memory is needed, and a second process is refused at once. */
function lock(database: DatabaseSync): void {
  database.exec(`
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA temp_store = MEMORY;
    PRAGMA wal_autocheckpoint = ${backstopPages};
    PRAGMA journal_size_limit = ${backstopPages * 4096};
    PRAGMA cache_size = ${cacheSize};
    PRAGMA trusted_schema = OFF;
    BEGIN EXCLUSIVE;
    COMMIT;
  `)
}

function migrate(database: DatabaseSync, directory: string, file: string): void {
  const version = firstValue(database, 'PRAGMA user_version') as number
  const owner = firstValue(database, 'PRAGMA application_id')
  const isEmpty = firstValue(database, 'SELECT count(*) FROM sqlite_schema') === 0
  if (owner !== applicationId && !isEmpty) throw damaged(file, 'it is a database of another program')
  if (version > migrations.length) throw tooNew(file, version)
  if (version === migrations.length) return
  database.exec('BEGIN IMMEDIATE')
  for (const migration of migrations.slice(version)) {
    if (typeof migration === 'string') database.exec(migration)
    else migration(database, directory)
  }
  database.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${migrations.length}; COMMIT`)
}

function check(database: DatabaseSync, file: string): void {
  const found = firstValue(database, 'PRAGMA quick_check(1)')
  if (found !== 'ok') throw damaged(file, String(found))
}

function firstValue(database: DatabaseSync, sql: string): unknown {
  return Object.values(database.prepare(sql).get() ?? {})[0]
}

function tooNew(file: string, version: number): PermanentError {
  const text = `${file} was written by a newer Trivium (format ${version}, this one knows ${migrations.length}): use that one`
  return new PermanentError('STORE_DAMAGED', `${text}; nothing was changed`)
}
