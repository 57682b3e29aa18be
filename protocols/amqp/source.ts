import type { Budget } from '../../src/adapter/budget.ts'
import type { Context, Deliver, Source } from '../../src/adapter/contract.ts'
import { sourceBudget } from '../../src/adapter/source-session.ts'
import { rememberBindings } from './bindings.ts'
import { AmqpConnection } from './client/connection.ts'
import { prepareSource } from './client/topology.ts'
import { type AmqpConnectionConfig, type AmqpFromConfig, inFlightOf, isStream } from './config.ts'
import { Consumption } from './consumption.ts'
import { lost, noStream, refusedArgument } from './errors.ts'
import { StreamPosition, StreamReading, streamArgument } from './stream.ts'
import { reaches } from './stream-end.ts'
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
  /** Of a stream. */
  #position: StreamPosition | undefined

  /** `froms` name the same queue; the smallest `maxInFlight` holds, each binding is made. */
  constructor(settings: AmqpConnectionConfig, froms: readonly AmqpFromConfig[], context: Context) {
    this.#settings = settings
    this.#froms = froms
    this.#context = context
    const maxInFlight = froms.map(inFlightOf)
    this.#budget = sourceBudget(context, { maxInFlight })
    this.#window = new Window(Math.min(...maxInFlight), this.#budget)
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

  async consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    const consumption = this.#consumption
    if (consumption === undefined || !this.#connection?.isOpen) throw lost('not connected')
    await consumption.run(deliver, signal)
  }

  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    await this.#consumption?.close()
    this.#consumption = undefined
    this.#position?.keep()
    await connection?.close()
  }

  /** Undeclared streams are found by what they refuse; each opening looks anew, for a queue may be made again as another. */
  async #consume(connection: AmqpConnection): Promise<Consumption> {
    const isDeclared = this.#startFrom !== undefined || this.#froms.some(({ declare }) => isStream(declare))
    try {
      return await (isDeclared ? this.#readStream(connection) : Consumption.open(this.#partsOf(connection)))
    } catch (error) {
      if (refusedArgument(error) === streamArgument) throw noStream(this.#queue, error)
      if (isDeclared || refusedArgument(error) === undefined) throw error
      return await this.#readStream(connection)
    }
  }

  async #readStream(connection: AmqpConnection): Promise<Consumption> {
    this.#position ??= new StreamPosition(this.#queue, this.#startFrom ?? 'first', this.#context)
    const stream = new StreamReading(this.#position)
    const consumption = await Consumption.open({ ...this.#partsOf(connection), stream })
    if (await stream.hasBegunSoon()) return consumption
    if (await reaches(connection, this.#queue, stream.firstNew - 1)) return consumption
    await consumption.close()
    this.#position.forget()
    return Consumption.open({ ...this.#partsOf(connection), stream: new StreamReading(this.#position) })
  }

  get #queue(): string {
    return this.#froms[0]?.queue ?? ''
  }

  /** Routes of one stream share its position: the first that says where it begins is heard. */
  get #startFrom(): AmqpFromConfig['startFrom'] {
    return this.#froms.find(({ startFrom }) => startFrom !== undefined)?.startFrom
  }

  #partsOf(connection: AmqpConnection) {
    return { connection, context: this.#context, queue: this.#queue, budget: this.#budget, window: this.#window }
  }
}
