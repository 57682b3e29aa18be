import { Budget } from '../../src/adapter/budget.ts'
import type { Context, Delivery, Source } from '../../src/adapter/contract.ts'
import { rememberBindings } from './bindings.ts'
import type { AmqpConnectionConfig, AmqpFromConfig } from './config.ts'
import { AmqpConnection } from './connection.ts'
import { Consumption } from './consumption.ts'
import { lost } from './errors.ts'
import { prepareSource } from './topology.ts'
import { Window } from './window.ts'

/** Consumes one queue over a connection of its own. */
export class AmqpSource implements Source {
  readonly #settings: AmqpConnectionConfig
  readonly #froms: readonly AmqpFromConfig[]
  readonly #context: Context
  readonly #budget: Budget
  readonly #window: Window
  #connection: AmqpConnection | undefined
  #consumption: Consumption | undefined

  /** `froms` name the same queue; the largest prefetch counts, each binding is made. */
  constructor(settings: AmqpConnectionConfig, froms: readonly AmqpFromConfig[], context: Context) {
    this.#settings = settings
    this.#froms = froms
    this.#context = context
    const maxCount = Math.max(...froms.map((from) => from.prefetch))
    this.#budget = new Budget({ maxCount, maxBytes: Number.POSITIVE_INFINITY, parent: context.budget })
    this.#window = new Window(maxCount, this.#budget)
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const connection = await AmqpConnection.open(this.#settings, this.#context, 'source', signal)
    this.#connection = connection
    try {
      await prepareSource(connection, this.#froms)
      rememberBindings(this.#froms, this.#context)
      this.#consumption = await this.#consume(connection)
    } catch (error) {
      await connection.close()
      throw error
    }
  }

  async consume(deliver: (batch: readonly Delivery[]) => void, signal: AbortSignal): Promise<void> {
    const consumption = this.#consumption
    if (consumption === undefined || !this.#connection?.isOpen) throw lost('not connected')
    await consumption.run(deliver, signal)
  }

  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    await this.#consumption?.close()
    this.#consumption = undefined
    await connection?.close()
  }

  #consume(connection: AmqpConnection): Promise<Consumption> {
    const queue = this.#froms[0]?.queue ?? ''
    return Consumption.open({ connection, context: this.#context, queue, budget: this.#budget, window: this.#window })
  }
}
