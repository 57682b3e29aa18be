import {
  type Context,
  delivered,
  type Outbound,
  type Outcome,
  outcomeOf,
  retryable,
  type Sink,
} from '../../src/adapter/contract.ts'
import { unsendable } from '../../src/adapter/outcomes.ts'
import type { GatewayError } from '../../src/errors.ts'
import { encode } from './codec.ts'
import type { MemoryConnectionConfig, MemoryTargetConfig } from './config.ts'
import { type MemoryBus, memoryBus } from './connection.ts'
import { closedError, toGatewayError } from './errors.ts'

/** Publishes to a bus, which confirms at once what it takes in. */
export class MemorySink implements Sink<MemoryTargetConfig> {
  readonly keepsOrder = true
  readonly maxConcurrentSends = 8
  readonly maxBatch = 256
  readonly #bus: MemoryBus
  #isOpen = false

  constructor(connection: MemoryConnectionConfig, _context: Context) {
    this.#bus = memoryBus(connection.bus)
  }

  async open(): Promise<void> {
    this.#isOpen = true
  }

  async close(): Promise<void> {
    this.#isOpen = false
  }

  /** The bus is as long there as the process. */
  lost(): Promise<GatewayError> {
    return new Promise(() => {})
  }

  async send(batch: readonly Outbound<MemoryTargetConfig>[]): Promise<readonly Outcome[]> {
    return batch.map((outbound) => this.#sendOne(outbound))
  }

  #sendOne(outbound: Outbound<MemoryTargetConfig>): Outcome {
    const { name } = this.#bus
    if (!this.#isOpen) return retryable(closedError(name))
    try {
      const answer = this.#bus.publish(outbound.target.topic, encode(outbound))
      return answer === 'confirmed' ? delivered : outcomeOf(toGatewayError(answer, name))
    } catch (error) {
      return unsendable(error)
    }
  }
}
