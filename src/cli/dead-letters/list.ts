import { type ListRequest, mostListed, pageSize } from '../../admin/dead-letters-request.ts'
import type { LetterSummary } from '../../admin/dead-letters-view.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Desk, Listed } from './desk.ts'
import { atDesk } from './open.ts'
import { filterOf, type ListOptions, numberOf } from './options.ts'
import { printJson, printList, printNothing } from './print.ts'

/** `trivium dead-letters list`. Resolves with the exit code. */
export function list(options: ListOptions): Promise<number> {
  return atDesk(options, async (desk) => {
    const request = { ...filterOf(options), after: numberOf('--after', options.after, 0) }
    const found = await gather(desk, request, numberOf('--limit', options.limit) ?? pageSize)
    const isFound = found.deadLetters.length > 0
    if (options.json) printJson({ gateway: desk.gateway, ...found })
    else if (isFound) printList(desk, found, { isTotalKnown: options.where === undefined })
    else await printNothing(desk, options)
    return isFound ? exitCodes.ok : exitCodes.found
  })
}

/** A gateway looks at so many letters at once and no more: what is found may come in parts. */
async function gather(desk: Desk, request: ListRequest, limit: number): Promise<Listed> {
  const deadLetters: LetterSummary[] = []
  let after = request.after
  for (;;) {
    const most = Math.min(mostListed, limit - deadLetters.length)
    const { deadLetters: more, total, next } = await desk.list({ ...request, after, limit: most })
    deadLetters.push(...more)
    if (next === undefined || deadLetters.length >= limit) return { deadLetters, total, next }
    after = next
  }
}
