import { createWriteStream, existsSync, renameSync, rmSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { messageOf } from '../../errors.ts'
import { exitCodes } from '../exit-codes.ts'
import { DeskError } from './desk.ts'

/**
 * Writes lines to a file that only its owner may read, or to standard output; how many. The file is there only when all is
 * in it: until then it is `<file>.part`.
 */
export async function writeExport(
  lines: AsyncIterable<string>,
  file: string | undefined,
  onLine: () => void,
): Promise<number> {
  let count = 0
  async function* text() {
    for await (const line of lines) {
      count += 1
      onLine()
      yield `${line}\n`
    }
  }
  if (file === undefined || file === '-') await pipeline(text, process.stdout, { end: false })
  else await writeFile(text, file)
  return count
}

async function writeFile(text: () => AsyncIterable<string>, file: string): Promise<void> {
  const part = `${file}.part`
  try {
    rmSync(part, { force: true }) // its rights would stay
    await pipeline(text, createWriteStream(part, { mode: 0o600, flags: 'wx' }))
    renameSync(part, file)
  } catch (error) {
    if (existsSync(part)) rmSync(part, { force: true })
    throw (error as NodeJS.ErrnoException).syscall === undefined ? error : writeError(error, file)
  }
}

/** A path that cannot be is the user's own, all else the disk's. */
function writeError(error: unknown, file: string): DeskError {
  const why = pathProblems[(error as NodeJS.ErrnoException).code ?? '']
  return new DeskError(
    why === undefined ? exitCodes.disk : exitCodes.noInput,
    `${file} cannot be written: ${why ?? messageOf(error)}`,
  )
}

const pathProblems: Readonly<Record<string, string>> = {
  ENOENT: 'no such directory',
  ENOTDIR: 'part of its path is not a directory',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
}
