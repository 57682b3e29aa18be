import type { Log } from '../../adapter/contract.ts'
import { Summary } from '../../adapter/summary.ts'
import type { ErrorCode } from '../../errors.ts'
import type { DeadLetter } from '../../store/contract.ts'

/**
 * Tells the log of the dead letters of one route: of each kind the first, then once a minute how many more. A target that
 * refuses all it is given must not fill it.
 */
export class Obituary {
  readonly #route: string
  readonly #log: Log
  readonly #kinds = new Map<ErrorCode, Summary>()

  constructor(route: string, log: Log) {
    this.#route = route
    this.#log = log
  }

  say({ envelope, error: { code, message }, reason, target }: DeadLetter): void {
    const route = this.#route
    if (!this.#kindOf(code).isFirst()) return
    this.#log.warn(`dead letter on route ${route}: ${message}`, {
      ...{ route, reason, code, messageId: envelope.messageId, source: envelope.source },
      ...(target === undefined ? {} : { target }),
    })
  }

  #kindOf(code: ErrorCode): Summary {
    const known = this.#kinds.get(code)
    if (known !== undefined) return known
    const route = this.#route
    const kind = new Summary((count) => {
      const text = `${count} more dead letters on route ${route} within a minute: ${code}; trivium dead-letters list --route ${route}`
      this.#log.warn(text, { route, code, count })
    })
    this.#kinds.set(code, kind)
    return kind
  }
}
