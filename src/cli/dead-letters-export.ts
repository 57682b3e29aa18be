import { once } from 'node:events'
import { createWriteStream, renameSync, rmSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { messageOf } from '../errors.ts'
import { DeskError } from './dead-letters-desk.ts'
import { exitCodes } from './exit-codes.ts'

/**
 * Writes lines to a file that only its owner may read, or to standard output; how many. The file is there only when all is
 * in it: until then it is `<file>.part`.
 */
export async function writeExport(
  lines: AsyncIterable<string>,
  file: string | undefined,
  onLine: () => void,
): Promise<number> {
  if (file === undefined || file === '-') return writeLines(lines, process.stdout, onLine)
  const part = `${file}.part`
  rmSync(part, { force: true }) // its rights would stay
  const stream = createWriteStream(part, { mode: 0o600, flags: 'wx' })
  const failed = once(stream, 'error').then(([error]) => {
    throw new DeskError(exitCodes.disk, `${part} cannot be written: ${messageOf(error)}`)
  })
  try {
    const count = await Promise.race([failed, writeLines(lines, stream, onLine)])
    stream.end()
    await Promise.race([failed, once(stream, 'close')])
    renameSync(part, file)
    return count
  } catch (error) {
    stream.destroy()
    rmSync(part, { force: true })
    throw error
  }
}

async function writeLines(lines: AsyncIterable<string>, stream: Writable, onLine: () => void): Promise<number> {
  let count = 0
  for await (const line of lines) {
    if (!stream.write(`${line}\n`)) await once(stream, 'drain')
    count += 1
    onLine()
  }
  return count
}
