import type { LetterRecord } from '../../admin/dead-letters-view.ts'
import { exitCodes } from '../exit-codes.ts'
import type { PlaceOptions } from './desk.ts'
import { absent, atDesk } from './open.ts'
import { idOf, usage } from './options.ts'
import { printJson, printLetter, writePayload } from './print.ts'

interface ShowOptions extends PlaceOptions {
  readonly json?: boolean
  readonly payload?: boolean
}

/** `trivium dead-letters show`. Resolves with the exit code. */
export function show(idText: string, options: ShowOptions): Promise<number> {
  return atDesk(options, async (desk) => {
    const id = idOf(idText)
    const record = await desk.get(id)
    if (record === undefined) throw absent(id)
    print(record, options)
    return exitCodes.ok
  })
}

function print(record: LetterRecord, { json, payload }: ShowOptions): void {
  if (payload && process.stdout.isTTY) throw usage('--payload writes raw bytes: redirect them to a file or a program')
  if (payload) writePayload(record)
  else if (json) printJson(record, 2)
  else printLetter(record)
}
