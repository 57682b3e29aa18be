/** The store's files belong to it alone: what lies in their place before it is opened. */
import { lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../adapter/contract.ts'
import { PermanentError } from '../errors.ts'

const writableByOthers = 0o002
const openToOthers = 0o006

/**
 * Throws PermanentError STORE_FAILED for a symbolic link, or anything else that is no file, in the store's place: whoever
 * put it there would have what is stored. Warns of what other users of the machine may read or change.
 */
export function checkOwnFiles(directory: string, log: Log): void {
  const folder = lstatSync(directory, { throwIfNoEntry: false })
  if (folder === undefined) return
  if (folder.isSymbolicLink()) throw refused(directory, `gateway.dataDir: name ${readlinkSync(directory)} itself`)
  warnOf(directory, folder, { bits: writableByOthers, doing: 'change what is in it', mode: '700' }, log)
  for (const name of readdirSync(directory).filter(isOurs)) checkFile(join(directory, name), log)
}

function isOurs(name: string): boolean {
  return /^(trivium\.db(-wal|-shm|-journal)?|reserve|spool.*)$/.test(name)
}

function checkFile(file: string, log: Log): void {
  const stat = lstatSync(file, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (stat.isSymbolicLink()) throw refused(file, 'put the file itself there, or start with an empty directory')
  if (!stat.isFile()) throw new PermanentError('STORE_FAILED', `${file} is no regular file; move it away`)
  warnOf(file, stat, { bits: openToOthers, doing: 'read or change it', mode: '600' }, log)
}

function warnOf(
  path: string,
  { mode }: Stats,
  { bits, doing, mode: better }: { bits: number; doing: string; mode: string },
  log: Log,
): void {
  if (process.platform === 'win32' || (mode & bits) === 0) return
  const octal = (mode & 0o777).toString(8)
  log.warn(`other users of this machine may ${doing}: ${path} has mode ${octal}; chmod ${better} ${path}`, { path })
}

function refused(path: string, help: string): PermanentError {
  return new PermanentError('STORE_FAILED', `${path} is a symbolic link, which the store does not follow; ${help}`)
}
