import { RetryableError } from '../../src/errors.ts'
import type { AmqpConnection } from './client/connection.ts'
import { ensureExchange, ensureQueue } from './client/topology.ts'
import type { AmqpTarget } from './config.ts'
import { lost, toGatewayError } from './errors.ts'

/** How long an answer "not there" or "not allowed" is believed, in milliseconds. */
const trustedMs = 1_000
/** Names may come from templates; past this many all are looked up anew. */
const maxKnown = 10_000

/**
 * Which exchanges and queues are there. A message to a missing exchange would end the channel for all others on it, so
 * each is looked up once before its first message, and declared where the target says so.
 */
export class Destinations {
  #exchanges = new Set<string>()
  #queues = new Set<string>()
  readonly #problems = new Map<string, { error: RetryableError; untilMs: number }>()

  isKnown({ exchange, queue, declare }: AmqpTarget): boolean {
    if (exchange !== undefined) return this.#exchanges.has(exchange)
    return declare === false || this.#queues.has(queue ?? '')
  }

  /** What is wrong with the target, or undefined when its exchange or queue is there now. */
  async learn(target: AmqpTarget, connection: AmqpConnection): Promise<RetryableError | undefined> {
    if (this.isKnown(target)) return undefined
    const name = nameOf(target)
    const problem = this.#problems.get(name)
    if (problem !== undefined && problem.untilMs > performance.now()) return problem.error
    try {
      await this.#ensure(target, connection)
      this.#problems.delete(name)
      return undefined
    } catch (error) {
      return this.distrust(target, toGatewayError(error, `preparing ${name}`))
    }
  }

  /** The target is refused: its messages get `error` for a second, then it is looked up again. */
  distrust(target: AmqpTarget, cause: Error): RetryableError {
    const error = cause instanceof RetryableError ? cause : lost('preparing a target', cause)
    this.forget(target)
    if (this.#problems.size > maxKnown) this.#problems.clear()
    if (!error.isOutage) this.#problems.set(nameOf(target), { error, untilMs: performance.now() + trustedMs })
    return error
  }

  forget(target: AmqpTarget): void {
    if (target.exchange !== undefined) this.#exchanges.delete(target.exchange)
    else this.#queues.delete(target.queue ?? '')
  }

  forgetAll(): void {
    this.#exchanges.clear()
    this.#queues.clear()
  }

  async #ensure(
    { exchange, exchangeType, queue = '', declare }: AmqpTarget,
    connection: AmqpConnection,
  ): Promise<void> {
    if (this.#exchanges.size + this.#queues.size > maxKnown) this.forgetAll()
    if (exchange !== undefined) {
      await ensureExchange(connection, exchange, exchangeType)
      this.#exchanges.add(exchange)
    } else {
      await ensureQueue(connection, queue, declare)
      this.#queues.add(queue)
    }
  }
}

/** For error texts: `exchange alarms`, `queue dead`. */
export function nameOf({ exchange, queue }: AmqpTarget): string {
  return exchange === undefined ? `queue ${queue}` : `exchange ${exchange}`
}
