import { setTimeout } from 'node:timers/promises'
import { Budget } from '../adapter/budget.ts'
import type { Log, Outbound, Outcome, Sink } from '../adapter/contract.ts'
import type { AnyProtocol } from '../adapter/protocol.ts'
import { ProtocolFault } from '../adapter/protocol-fault.ts'
import type { ConnectionConfig } from '../config/schema/types.ts'
import { GatewayError } from '../errors.ts'

const absentAttempts = 4
const absentWaitMs = 500

/** Sends through a sink of its own, as the gateway would; what the gateway listens on is reached as a client reaches it. */
export class Publisher {
  readonly #sink: Sink
  readonly #signal = new AbortController().signal
  /** True where the gateway itself is the broker. */
  readonly isOurs: boolean

  constructor({ create, outside }: NonNullable<AnyProtocol['sink']>, connection: ConnectionConfig, log: Log) {
    const settings = outside?.(connection.settings) ?? connection.settings
    const budget = new Budget({ maxCount: 10_000, maxBytes: 2 ** 30 })
    const gatewayId = `publish-${process.pid}`
    this.isOurs = settings !== connection.settings
    this.#sink = create(settings, { connection: connection.name, gatewayId, log, budget, count: () => {} })
  }

  open(): Promise<void> {
    return this.#sink.open(this.#signal)
  }

  close(): Promise<void> {
    return this.#sink.close()
  }

  /** Resolves with the first outcome that is not `delivered`, after which nothing more is sent, or with undefined. All have one destination. */
  async send(messages: readonly Outbound[]): Promise<Exclude<Outcome, { kind: 'delivered' }> | undefined> {
    for (let start = 0, end = 0; start < messages.length; start = end) {
      end = start + this.#sink.maxBatch // may be another after the send
      for (const outcome of await this.#sendPatiently(messages.slice(start, end))) {
        if (outcome.kind !== 'delivered') return outcome
      }
    }
    return undefined
  }

  /** A topic that the broker makes on first use is there a moment later. */
  async #sendPatiently(batch: readonly Outbound[]): Promise<readonly Outcome[]> {
    for (let attempt = 1; ; attempt += 1) {
      const outcomes = await this.#answers(batch)
      const isAbsent = outcomes.every((outcome) => outcome.kind === 'retryable' && outcome.error.code === 'NOT_FOUND')
      if (!isAbsent || attempt === absentAttempts) return outcomes
      await setTimeout(absentWaitMs)
    }
  }

  async #answers(batch: readonly Outbound[]): Promise<readonly Outcome[]> {
    try {
      return await this.#sink.send(batch, this.#signal)
    } catch (error) {
      throw error instanceof GatewayError ? error : new ProtocolFault(error)
    }
  }
}
