/** The gateway's own paths on a listener: see src/adapter/door.ts. */
import { PermanentError } from '../../../src/errors.ts'
import type { Messages } from './media.ts'
import { Refusal } from './problem.ts'
import type { Way } from './way.ts'

/** What came through a door, and how its sender is answered. */
export interface Passed {
  readonly messages: Messages
  readonly answerWithinMs?: number | undefined
  readonly isSilent?: boolean | undefined
}

/** Messages as their door lets them in; as they are where the path is a route's. Throws a Refusal, 400. */
export function passDoor({ envelopes, isBatch }: Messages, { froms, address, query }: Way): Passed {
  const door = [...froms].find((from) => from.door !== undefined)?.door
  if (door === undefined) return { messages: { envelopes, isBatch } }
  const request = { path: address, query: new URLSearchParams(query), count: envelopes.length }
  const entrances = envelopes.map((envelope) => orRefuse(() => door.enter(envelope, request)))
  const { answerWithinMs, isSilent } = entrances[0] ?? {}
  return { messages: { envelopes: entrances.map(({ envelope }) => envelope), isBatch }, answerWithinMs, isSilent }
}

function orRefuse<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof PermanentError)) throw error
    throw new Refusal({ status: 400, code: error.code, detail: error.message })
  }
}
