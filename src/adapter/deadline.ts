import { RetryableError } from '../errors.ts'

/** `promise`, or a PEER_TIMEOUT after `ms` milliseconds that says what was waited for; the promise's late end is ignored. */
export async function withDeadline<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new RetryableError('PEER_TIMEOUT', `${what} took longer than ${ms} ms`)), ms)
  timer.unref() // a deadline alone is no reason to stay alive
  promise.catch(() => {}) // a rejection after the deadline has nobody left to tell
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
