/** An HTTP source that listens, consumed as the gateway does, and what was asked of it. */
import { http } from '../../../protocols/http/index.ts'
import type { Delivery } from '../../../src/adapter/contract.ts'
import { freePort } from '../ports.ts'
import { type RecordingContext, testContext } from './context.ts'
import { acceptAll, RunningSource } from './running-source.ts'

export interface Listening {
  readonly url: string
  readonly port: number
  readonly running: RunningSource
  readonly context: RecordingContext
}

export interface Wish {
  /** Of the connection; `listen` is added. */
  readonly connection?: object
  readonly froms?: readonly object[]
  readonly context?: Parameters<typeof testContext>[1]
  readonly scheme?: 'http' | 'https'
  readonly onBatch?: (batch: readonly Delivery[]) => void
}

/** Accepts what it gets, unless `onBatch` says otherwise. To be closed with `kill` or `stop` and `close`. */
export async function listening(wish: Wish = {}): Promise<Listening> {
  const port = await freePort()
  const url = `${wish.scheme ?? 'http'}://127.0.0.1:${port}`
  const context = testContext('api', wish.context)
  const connection = http.connection.parse({ listen: url, ...wish.connection })
  const froms = (wish.froms ?? [{ path: '/events/{site}' }]).map((from) => http.source!.schema.parse(from))
  const source = http.source!.create(connection, froms, context)
  await source.open(new AbortController().signal)
  return { url, port, running: new RunningSource(source, wish.onBatch ?? acceptAll), context }
}
