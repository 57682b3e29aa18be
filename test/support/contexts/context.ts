import { randomUUID } from 'node:crypto'
import { Budget } from '../../../src/adapter/budget.ts'
import type { Context, Log } from '../../../src/adapter/contract.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** What the gateway would lend an adapter: a gateway of a new name, without a log, with room for everything. */
export function testContext(connection: string, changes: Partial<Context> = {}): Context {
  return {
    connection,
    gatewayId: `test-${randomUUID().slice(0, 8)}`,
    log: silent,
    budget: new Budget({ maxCount: 100_000, maxBytes: 1024 ** 3 }),
    count() {},
    ...changes,
  }
}
