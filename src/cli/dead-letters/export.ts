import { exitCodes } from '../exit-codes.ts'
import { writeExport } from './export-file.ts'
import { atDesk } from './open.ts'
import { type FilterOptions, filterOf, idsOf } from './options.ts'
import { printExported, printNothing } from './print.ts'
import { Progress } from './progress.ts'

/** `trivium dead-letters export`. Resolves with the exit code. */
export function exportAll(ids: readonly string[], options: FilterOptions & { out?: string }): Promise<number> {
  return atDesk(options, async (desk) => {
    const filter = { ...filterOf(options), ids: idsOf(ids) }
    const { total } = await desk.list({ ...filter, where: undefined, limit: 1 })
    const progress = new Progress('exported', total)
    const count = await writeExport(desk.export(filter), options.out, () => progress.advance(1))
    progress.clear()
    if (count === 0) await printNothing(desk, options)
    else printExported(desk, count, options.out)
    return count === 0 ? exitCodes.found : exitCodes.ok
  })
}
