import { atDesk } from './open.ts'
import type { WorkOptions } from './options.ts'
import { work } from './work.ts'

/** `trivium dead-letters discard`. Resolves with the exit code. */
export function discard(ids: readonly string[], options: WorkOptions): Promise<number> {
  const verb = { now: 'discard', done: 'discarded' }
  return atDesk(options, (desk) => work({ desk, verb, ids, options }, (piece) => desk.discard(piece)))
}
