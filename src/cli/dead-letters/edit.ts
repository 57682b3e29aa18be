import type { Changes } from '../../admin/dead-letters-edit.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Desk } from './desk.ts'
import { editMessage } from './editor.ts'
import { absent, atDesk, placeText } from './open.ts'
import { changesOf, type EditOptions, idOf } from './options.ts'
import { printEdited, printUnchanged } from './print.ts'

/** `trivium dead-letters edit`. Resolves with the exit code. */
export function edit(idText: string, options: EditOptions): Promise<number> {
  return atDesk(options, async (desk) => {
    const given = changesOf(options)
    const id = idOf(idText)
    const changes = given ?? (await askEditor(desk, id))
    if (changes === undefined) printUnchanged()
    else if ((await desk.edit(id, changes)) === undefined) throw absent(id)
    else printEdited(desk, id, `trivium dead-letters requeue ${id}${placeText(options)}`)
    return exitCodes.ok
  })
}

async function askEditor(desk: Desk, id: number): Promise<Changes | undefined> {
  const record = await desk.get(id)
  if (record === undefined) throw absent(id)
  return editMessage(record)
}
