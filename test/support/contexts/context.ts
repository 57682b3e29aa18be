import { Budget } from '../../../src/adapter/budget.ts'
import type { Context } from '../../../src/adapter/contract.ts'
import { unique } from '../names.ts'
import { type LogLine, recordingLog } from './log.ts'

/** What the gateway would lend an adapter; remembers what it is told. */
export interface RecordingContext extends Context {
  readonly lines: readonly LogLine[]
  /** The same as text: each message with its fields as JSON. */
  texts(): readonly string[]
  /** What the adapter counted, by name. */
  readonly counts: ReadonlyMap<string, number>
}

interface Limits {
  readonly maxCount?: number
  readonly maxBytes?: number
}

/** A gateway of a new name, with room for everything unless `changes` say otherwise. */
export function testContext(connection: string, changes: Partial<Context> & Limits = {}): RecordingContext {
  const { maxCount = 100_000, maxBytes = 1024 ** 3, ...others } = changes
  const { log, lines } = recordingLog()
  const counts = new Map<string, number>()
  return {
    connection,
    gatewayId: unique('gateway'),
    log,
    budget: new Budget({ maxCount, maxBytes }),
    count: (name, by = 1) => void counts.set(name, (counts.get(name) ?? 0) + by),
    ...others,
    lines,
    texts: () => lines.map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`),
    counts,
  }
}
