import { atDesk } from './open.ts'
import { type RequeueOptions, usage } from './options.ts'
import { work } from './work.ts'

/** `trivium dead-letters requeue`. Resolves with the exit code. */
export function requeue(ids: readonly string[], options: RequeueOptions): Promise<number> {
  const { delay, force } = options
  return atDesk(options, (desk) => {
    const rate = rateOf(options.rate)
    const verb = { now: 'requeue', done: 'requeued' }
    return work({ desk, verb, ids, options }, (piece) => desk.requeue({ ...piece, delay, rate, force }))
  })
}

function rateOf(text: string | undefined): number | undefined {
  const rate = text === undefined ? undefined : Number(text)
  if (Number.isNaN(rate)) throw usage(`--rate ${text}: must be a number of messages per second`)
  return rate
}
