/**
 * Places where a test may have the process die as if its power had gone: `TRIVIUM_FAILPOINT=<name>` or `<name>:<hit>`.
 * Without that variable a failpoint costs one comparison.
 */
export const failpoints = [
  // the store
  'store.before-commit', // everything of the transaction is applied, nothing is on disk
  'store.after-commit', // on disk, nobody told
  'store.before-finish-commit', // like before-commit, where the transaction takes messages away
  'store.checkpoint', // the log is about to be carried over into the database
  'dead-letter.before-commit', // like before-commit, where the transaction has a dead letter
  'dead-letter.after-commit', // a dead letter is on disk, nobody told
  'requeue.before-commit', // dead letters have moved to their routes, nothing is on disk
  'requeue.after-commit', // and on disk
  'start.marked', // a start is noted on disk, the message not yet handed out
  // the delivery
  'source.acknowledged', // the source has been told that a message is safe
  'send.before', // a batch is about to be handed to a sink
  'send.sent', // handed over, not confirmed
  'send.confirmed', // confirmed, the store not yet told
  'feed.read', // messages were read back, not yet handed out
  'drain.begun', // the gateway has been told to stop
  'attempt.noted', // a target's answer has been handed to the store
  'session.before-commit', // a kept entry of a session is about to be committed
] as const
export type FailpointName = (typeof failpoints)[number]

const [armed, hit = '1'] = (process.env.TRIVIUM_FAILPOINT ?? '').split(':')
let hitsLeft = Number(hit)

/** Ends the process with SIGKILL at the hit that the environment names. */
export function failpoint(name: FailpointName): void {
  if (name !== armed) return
  hitsLeft -= 1
  if (hitsLeft === 0) process.kill(process.pid, 'SIGKILL')
}
