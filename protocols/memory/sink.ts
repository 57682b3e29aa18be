import {
  type Context,
  delivered,
  type Outbound,
  type Outcome,
  outcomeOf,
  retryable,
  type Sink,
} from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { unsendable } from '../../src/adapter/outcomes.ts'
import type { GatewayError } from '../../src/errors.ts'
import { encode } from './codec.ts'
import type { MemoryConnectionConfig, MemoryTargetConfig } from './config.ts'
import { type MemoryBus, memoryBus } from './connection.ts'
import { toGatewayError } from './errors.ts'

/** Publishes to a bus; a message is delivered when the bus has confirmed it. */
export class MemorySink implements Sink<MemoryTargetConfig> {
  readonly keepsOrder = true
  readonly maxConcurrentSends = 8
  readonly maxBatch = 256
  readonly #bus: MemoryBus
  readonly #confirmTimeoutMs: number
  #lost = Promise.withResolvers<GatewayError>()
  #unlink: (() => void) | undefined

  constructor(connection: MemoryConnectionConfig, _context: Context) {
    this.#bus = memoryBus(connection.bus)
    this.#confirmTimeoutMs = connection.confirmTimeout
  }

  async open(): Promise<void> {
    await this.close()
    if (this.#bus.isDown) throw toGatewayError('down', this.#bus.name)
    const lost = Promise.withResolvers<GatewayError>()
    this.#lost = lost
    this.#unlink = this.#bus.link(() => {
      this.#unlink = undefined
      lost.resolve(toGatewayError('lost', this.#bus.name))
    })
  }

  async close(): Promise<void> {
    this.#unlink?.()
    this.#unlink = undefined
  }

  lost(): Promise<GatewayError> {
    return this.#lost.promise
  }

  send(batch: readonly Outbound<MemoryTargetConfig>[]): Promise<readonly Outcome[]> {
    return Promise.all(batch.map((outbound) => this.#sendOne(outbound)))
  }

  async #sendOne(outbound: Outbound<MemoryTargetConfig>): Promise<Outcome> {
    const { name } = this.#bus
    if (this.#unlink === undefined) return retryable(toGatewayError('lost', name))
    try {
      const published = this.#bus.publish(outbound.target.topic, encode(outbound))
      const answer = await withDeadline(published, this.#confirmTimeoutMs, `a confirmation of the bus ${name}`)
      return answer === 'confirmed' ? delivered : outcomeOf(toGatewayError(answer, name))
    } catch (error) {
      return unsendable(error)
    }
  }
}
