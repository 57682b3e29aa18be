import { setTimeout } from 'node:timers/promises'
import type { Component, Log, Sink, Source } from '../adapter/contract.ts'
import { withDeadline } from '../adapter/deadline.ts'
import { ProtocolFault } from '../adapter/protocol-fault.ts'
import { GatewayError, messageOf, PermanentError, RetryableError } from '../errors.ts'
import type { LinkStats } from '../telemetry/stats.ts'
import { fullJitterMs, reconnectLimits } from './backoff.ts'

/** An adapter keeps shorter deadlines of its own; these end the wait for one that does not. Milliseconds. */
const openDeadlineMs = 60_000
const closeDeadlineMs = 10_000
/** A connection that held this long starts its back-off anew. */
const stableMs = 10_000

/** What a link does while its connection is open; it ends when the connection is lost (rejects) or is no longer wanted. */
type Session = (signal: AbortSignal) => Promise<void>

/**
 * Keeps one adapter connected: open, run, close, back off, again, until `stop` aborts. The state is logged once per
 * change. A PermanentError from `open` cannot be waited out: `supervise` rejects with it.
 */
export async function supervise(
  component: Component,
  session: Session,
  link: LinkStats,
  log: Log,
  stop: AbortSignal,
): Promise<void> {
  const teller = new Teller(link, log)
  let attempt = 0
  let wasUp = false
  while (!stop.aborted) {
    let upSinceMs: number | undefined
    const opening = new AbortController()
    try {
      const open = component.open(AbortSignal.any([stop, opening.signal]))
      await orAborted(stop, withDeadline(open, openDeadlineMs, `opening ${link.connection}`))
      if (stop.aborted) break
      wasUp = true
      upSinceMs = performance.now()
      teller.is('up')
      await session(stop)
    } catch (error) {
      opening.abort() // one that is late must not take the place of its successor
      if (stop.aborted) break
      const isBeingReplaced = wasUp && error instanceof PermanentError && error.code === 'FILE_MISSING' // a certificate
      if (error instanceof PermanentError && !isBeingReplaced) throw error
      teller.is('down', error)
    }
    await quietly(component.close())
    if (stop.aborted) break
    attempt = upSinceMs !== undefined && performance.now() - upSinceMs > stableMs ? 1 : attempt + 1
    await pause(fullJitterMs(attempt, reconnectLimits), stop)
    link.reconnects += 1
  }
  await quietly(component.close())
  teller.is('stopped')
}

/** The session of a source: it reads until told to stop or the connection is lost. */
export function sourceSession(source: Source, deliver: Parameters<Source['consume']>[0]): Session {
  return async (signal) => {
    await source.consume(deliver, signal)
    if (!signal.aborted) throw new RetryableError('PEER_LOST', 'the source ended by itself')
  }
}

/** The session of a sink: it lasts until the connection is lost, a send met an outage, or the gateway stops. */
export function sinkSession(
  sink: Sink,
  dispatcher: { resume(): void; suspend(): void },
  outage: () => Promise<GatewayError>,
): Session {
  return async (signal) => {
    const failed = outage()
    dispatcher.resume()
    const error = await orAborted(signal, sink.lost(), failed)
    dispatcher.suspend()
    if (error !== undefined) throw error
  }
}

/** Writes a link's state down, and says it once per change; of one outage each reason once, as two may take turns. */
class Teller {
  readonly #link: LinkStats
  readonly #log: Log
  readonly #said = new Set<string>()
  /** Faults whose stack has been logged: it is the same however often they come. */
  readonly #traced = new Set<string>()

  constructor(link: LinkStats, log: Log) {
    this.#link = link
    this.#log = log
  }

  is(state: LinkStats['state'], cause?: unknown): void {
    const link = this.#link
    if (link.state !== state) {
      link.since = Date.now()
      this.#said.clear()
    }
    const error = state === 'down' ? messageOf(cause) : undefined
    const isNews = link.state !== state || (error !== undefined && !this.#said.has(error))
    link.state = state
    link.error = error
    if (!isNews) return
    const fields = { connection: link.connection, role: link.role }
    if (state === 'up') this.#log.info(`${link.connection} is connected as ${link.role}`, fields)
    if (error === undefined) return
    this.#said.add(error)
    const code = cause instanceof GatewayError ? { code: cause.code } : {}
    const stack = this.#stackOf(cause, error)
    const tell = stack === undefined ? this.#log.warn : this.#log.error
    tell.call(this.#log, `${link.connection} is not available as ${link.role}: ${error}; trying again`, {
      ...fields,
      ...code,
      ...(stack === undefined ? {} : { stack }),
    })
  }

  /** Of what only a protocol's author can mend, the first time; undefined for what a peer did. */
  #stackOf(cause: unknown, error: string): string | undefined {
    const fault = cause instanceof ProtocolFault ? cause.cause : cause instanceof GatewayError ? undefined : cause
    if (!(fault instanceof Error) || this.#traced.has(error)) return undefined
    this.#traced.add(error)
    return fault.stack
  }
}

async function quietly(closing: Promise<void>): Promise<void> {
  await withDeadline(closing, closeDeadlineMs, 'closing').catch(() => {})
}

/** The first of `others` to settle, or undefined when `signal` aborts before; listens no longer than that. */
async function orAborted<T>(signal: AbortSignal, ...others: Promise<T>[]): Promise<T | undefined> {
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>()
  const stop = () => resolve(undefined)
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([aborted, ...others])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Waits, or less when `stop` aborts. */
async function pause(ms: number, stop: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, { signal: stop }).catch(() => {})
}
