import type { Outbound } from '../../adapter/contract.ts'
import type { Envelope } from '../../envelope/envelope.ts'
import type { Forwarding } from '../../routing/router.ts'
import type { Append, KeepWith, Params, Repeatable } from '../../store/contract.ts'
import type { Message } from '../message.ts'

/** How a message is to be kept, see `Append`. */
interface Terms {
  readonly route: number
  readonly key: string | Uint8Array | undefined
  readonly deduplicate: Repeatable | undefined
  readonly keep: KeepWith | undefined
}

/** Who is told that a message is on disk. */
interface Keeper {
  kept(message: Message, outbounds: Forwarding['outbounds']): void
}

/** A message between its source and the disk: what the store is given of it. */
export class Keeping implements Append {
  readonly route: number
  readonly envelope: Envelope
  readonly params: Params
  readonly receivedAt: number
  readonly wanted: number
  readonly key: string | Uint8Array | undefined
  readonly deduplicate: Repeatable | undefined
  readonly keep: KeepWith | undefined
  readonly #keeper: Keeper
  readonly #message: Message
  readonly #outbounds: readonly (Outbound | undefined)[]

  constructor(keeper: Keeper, message: Message, { outbounds, ...terms }: Terms & Pick<Forwarding, 'outbounds'>) {
    this.route = terms.route
    this.envelope = message.envelope
    this.params = message.params
    this.receivedAt = message.receivedAt
    this.wanted = message.wanted
    this.key = terms.key
    this.deduplicate = terms.deduplicate
    this.keep = terms.keep
    this.#keeper = keeper
    this.#message = message
    this.#outbounds = outbounds
  }

  safe(id: number): void {
    this.#message.id = id
    this.#keeper.kept(this.#message, this.#outbounds)
  }

  duplicate(): void {
    this.#message.end('repeated', performance.now())
  }

  released(): void {
    this.#message.end('released', performance.now())
  }
}
