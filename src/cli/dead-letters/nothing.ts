import type { Filter } from '../../admin/dead-letters-request.ts'
import { didYouMean } from '../../routing/nearest.ts'
import { counted } from '../words.ts'
import type { Desk } from './desk.ts'

/** Why nothing was found: a misspelt route must not look like an empty store. */
export async function nothingText(desk: Desk, { route }: Filter): Promise<string> {
  const { gateway } = desk
  if (route !== undefined && !(await hasLetters(desk, route))) {
    const names = await desk.routes()
    const hint = didYouMean(route, names)
    if (!names.includes(route))
      return `gateway ${gateway} has no route ${route}${hint === undefined ? '' : `; ${hint}`}`
  }
  const { total } = await desk.list({ limit: 1 })
  if (total === 0) return `gateway ${gateway} has no dead letters`
  return `gateway ${gateway} has ${counted(total, 'dead letter')}, but none match`
}

/** A route that was taken out of the configuration may still have some. */
async function hasLetters(desk: Desk, route: string): Promise<boolean> {
  return (await desk.list({ route, limit: 1 })).total > 0
}
