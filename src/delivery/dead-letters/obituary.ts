import type { Log } from '../../adapter/contract.ts'
import type { DeadLetter } from '../../store/contract.ts'

/** Letters that get a line of their own in this time, in milliseconds; of the others the log says how many there were. */
const mostNamed = 20
const windowMs = 60_000

/** Tells the log of the dead letters of one route: a target that refuses all it is given must not fill it. */
export class Obituary {
  readonly #route: string
  readonly #log: Log
  #named = 0
  #unnamed = 0
  #window: NodeJS.Timeout | undefined

  constructor(route: string, log: Log) {
    this.#route = route
    this.#log = log
  }

  say(letter: DeadLetter): void {
    this.#window ??= setTimeout(() => this.#close(), windowMs).unref()
    if (this.#named === mostNamed) {
      this.#unnamed += 1
      return
    }
    this.#named += 1
    const { envelope, error, reason, target } = letter
    this.#log.warn(`dead letter on route ${this.#route}: ${error.message}`, {
      route: this.#route,
      reason,
      code: error.code,
      messageId: envelope.messageId,
      source: envelope.source,
      ...(target === undefined ? {} : { target }),
    })
  }

  #close(): void {
    const count = this.#unnamed
    this.#window = undefined
    this.#named = 0
    this.#unnamed = 0
    if (count === 0) return
    const text = `${count} more dead letters on route ${this.#route} within a minute: trivium dead-letters list`
    this.#log.warn(text, { route: this.#route, count })
  }
}
