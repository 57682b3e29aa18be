import { Budget } from '../../src/adapter/budget.ts'
import type { Context, Delivery, Source } from '../../src/adapter/contract.ts'
import { rememberBindings } from './bindings.ts'
import type { AmqpConnectionConfig, AmqpFromConfig } from './config.ts'
import { AmqpConnection } from './connection.ts'
import { Consumption } from './consumption.ts'
import { lost } from './errors.ts'
import { prepareSource } from './topology.ts'

/** Consumes one queue over a connection of its own. */
export class AmqpSource implements Source {
  readonly #settings: AmqpConnectionConfig
  readonly #froms: readonly AmqpFromConfig[]
  readonly #context: Context
  readonly #maxInFlight: number
  readonly #budget: Budget
  #connection: AmqpConnection | undefined
  #consumption: Consumption | undefined

  /** `froms` name the same queue; the largest prefetch counts, each binding is made. */
  constructor(settings: AmqpConnectionConfig, froms: readonly AmqpFromConfig[], context: Context) {
    this.#settings = settings
    this.#froms = froms
    this.#context = context
    this.#maxInFlight = Math.max(...froms.map((from) => from.prefetch))
    const limits = { maxCount: this.#maxInFlight, maxBytes: Number.POSITIVE_INFINITY, parent: context.budget }
    this.#budget = new Budget(limits)
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const connection = await AmqpConnection.open(this.#settings, this.#context, 'source', signal)
    this.#connection = connection
    try {
      await prepareSource(connection, this.#froms)
      rememberBindings(this.#froms, this.#context)
    } catch (error) {
      await connection.close()
      throw error
    }
  }

  async consume(deliver: (batch: readonly Delivery[]) => void, signal: AbortSignal): Promise<void> {
    const connection = this.#connection
    if (connection === undefined || !connection.isOpen) throw lost('not connected')
    const consumption = new Consumption({
      connection,
      context: this.#context,
      queue: this.#froms[0]?.queue ?? '',
      maxInFlight: this.#maxInFlight,
      budget: this.#budget,
      onSettled: () => this.#consumption?.stir(),
      deliver,
      signal,
    })
    this.#consumption = consumption
    await consumption.run()
  }

  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    await this.#consumption?.close()
    this.#consumption = undefined
    await connection?.close()
  }
}
