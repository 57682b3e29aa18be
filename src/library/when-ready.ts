import { setTimeout } from 'node:timers/promises'
import { messageOf, PermanentError } from '../errors.ts'
import type { Gateway } from '../gateway.ts'
import { notReady } from '../telemetry/status.ts'

/** How often it looks, in milliseconds. */
const lookMs = 10

/** Resolves when it takes in messages; rejects when it cannot go on, with the reason, or when `signal` aborts. */
export async function whenReady(gateway: Pick<Gateway, 'fatal' | 'status'>, signal?: AbortSignal): Promise<void> {
  const failed = gateway.fatal.then((reason) => {
    throw reason instanceof Error ? reason : new PermanentError('INTERNAL', messageOf(reason))
  })
  failed.catch(() => {}) // it may fail long after it was ready, when nobody listens here any more
  while (notReady(gateway.status()).length > 0) {
    await Promise.race([failed, setTimeout(lookMs, undefined, signal && { signal })])
  }
}
