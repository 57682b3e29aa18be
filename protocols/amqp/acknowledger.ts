import type { Channel, Message } from 'amqplib'
import type { Settlement } from '../../src/adapter/contract.ts'

/**
 * Settles the deliveries of one channel, on that channel only: a tag means nothing on another one (amqplib #271).
 * Acceptances are gathered for one turn of the event loop; those with nothing unsettled before them go out as one frame.
 */
export class Acknowledger {
  readonly #channel: Channel
  /** Tags in the order of delivery, which is ascending. */
  readonly #unsettled = new Set<number>()
  #accepted: number[] = []
  #isRetired = false

  constructor(channel: Channel) {
    this.#channel = channel
  }

  /** Deliveries not yet settled. */
  get size(): number {
    return this.#unsettled.size
  }

  add(tag: number): void {
    this.#unsettled.add(tag)
  }

  /** Does nothing once the channel is gone: the broker has taken the message back then. */
  settle(tag: number, settlement: Settlement): void {
    if (this.#isRetired || !this.#unsettled.delete(tag)) return
    if (settlement !== 'accept')
      return this.#send(() => this.#channel.nack(frame(tag), false, settlement === 'release'))
    this.#accepted.push(tag)
    if (this.#accepted.length === 1) setImmediate(() => this.flush())
  }

  /** Sends what has gathered. */
  flush(): void {
    if (this.#isRetired || this.#accepted.length === 0) return
    const accepted = this.#accepted
    this.#accepted = []
    const first = this.#firstUnsettled
    let last = 0
    for (const tag of accepted) {
      if (tag > first) this.#send(() => this.#channel.ack(frame(tag)))
      else if (tag > last) last = tag
    }
    // `multiple` names a tag that is still open at the broker, or it answers 406.
    if (last > 0) this.#send(() => this.#channel.ack(frame(last), true))
  }

  /** The channel is gone, or not to be used again. */
  retire(): void {
    this.#isRetired = true
    this.#unsettled.clear()
    this.#accepted = []
  }

  get #firstUnsettled(): number {
    for (const tag of this.#unsettled) return tag
    return Number.POSITIVE_INFINITY
  }

  /** A closed channel throws at once; its 'close' tells the source. */
  #send(call: () => void): void {
    try {
      call()
    } catch {
      this.retire()
    }
  }
}

/** The driver reads nothing but the tag. */
function frame(deliveryTag: number): Message {
  return { fields: { deliveryTag } } as Message
}
