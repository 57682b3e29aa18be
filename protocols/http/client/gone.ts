/** Destinations that said they are gone for good (410): nothing more is sent there while the gateway runs. */
import type { Context } from '../../../src/adapter/contract.ts'
import { PermanentError } from '../../../src/errors.ts'

const mostRemembered = 10_000

export class Gone {
  readonly #since = new Map<string, string>()
  readonly #context: Context

  constructor(context: Context) {
    this.#context = context
  }

  /** Why nothing is sent there; undefined: it may. */
  refusal(place: string): PermanentError | undefined {
    const since = this.#since.size === 0 ? undefined : this.#since.get(place)
    if (since === undefined) return undefined
    const text = `not sent: ${place} answered 410 (gone) at ${since}; a restart of the gateway asks it again`
    return new PermanentError('MESSAGE_UNROUTABLE', text)
  }

  tell(place: string): void {
    if (this.#since.has(place) || this.#since.size >= mostRemembered) return
    this.#since.set(place, new Date().toISOString())
    this.#context.count('gone')
    const text = `${place} answered 410 (gone): what is for it becomes dead letters from now on`
    this.#context.log.error(text, { connection: this.#context.connection, target: place })
  }
}
