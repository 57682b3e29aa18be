import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Changes } from '../../admin/dead-letters-edit.ts'
import type { LetterRecord } from '../../admin/dead-letters-view.ts'
import { parseJson, stringifyJson } from '../../envelope/json.ts'
import { exitCodes } from '../exit-codes.ts'
import { DeskError } from './desk.ts'

type MessageFields = Readonly<Record<string, unknown>>

/**
 * Lets the user change a letter's message in $VISUAL or $EDITOR; undefined where nothing was changed. The file is only for
 * the user, and stays where it was when it cannot be read, so that no work is lost.
 */
export async function editMessage(record: LetterRecord): Promise<Changes | undefined> {
  const editor = process.env.VISUAL || process.env.EDITOR || (process.stdin.isTTY ? 'vi' : undefined)
  if (editor === undefined) {
    throw new DeskError(exitCodes.usage, 'say what to change, e.g. --payload or --set-header, or set EDITOR')
  }
  const folder = mkdtempSync(join(tmpdir(), 'trivium-edit-'))
  const file = join(folder, `dead-letter-${record.id}.json`)
  const before = textOf(record.message)
  writeFileSync(file, before, { mode: 0o600 })
  await runEditor(editor, file)
  const after = readFileSync(file, 'utf8')
  const message = after === before ? undefined : messageOf(after, file)
  rmSync(folder, { recursive: true, force: true })
  return message && { message }
}

/** A payload that is JSON, and would be the same bytes again, stands there as JSON. */
function textOf({ payloadText, ...message }: MessageFields): string {
  const json = typeof payloadText === 'string' ? parseJson(Buffer.from(payloadText)) : undefined
  const isSame = json !== undefined && json !== null && stringifyJson(json) === payloadText
  const payload = isSame ? { payload: json } : { payloadText }
  return `${JSON.stringify({ ...message, ...payload }, exactly, 2)}\n`
}

/** A whole number that a double cannot hold, as it stood there. */
function exactly(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? rawJson(String(value)) : value
}

const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON

function messageOf(text: string, file: string): Record<string, unknown> {
  const json = parseJson(Buffer.from(text))
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new DeskError(exitCodes.usage, `not a JSON object, nothing was changed; your text is still in ${file}`)
  }
  const { payload, ...message } = json as Record<string, unknown>
  if (payload === undefined) return message
  return payload === null ? { ...message, payload } : { ...message, payloadText: stringifyJson(payload) }
}

/** The editor may come with arguments, as in `code --wait`. */
async function runEditor(editor: string, file: string): Promise<void> {
  const isWindows = process.platform === 'win32'
  const child = isWindows
    ? spawn(`${editor} "${file}"`, { stdio: 'inherit', shell: true })
    : spawn('/bin/sh', ['-c', `${editor} "$1"`, editor, file], { stdio: 'inherit' })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0)
    throw new DeskError(
      exitCodes.found,
      `${editor} exited with ${code}, nothing was changed; your text is still in ${file}`,
    )
}
