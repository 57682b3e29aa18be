/** One connected device: its rights, its unsettled messages, its keep-alive. */
import type { Duplex } from 'node:stream'
import { OrderedPrefix } from '../../../src/adapter/ordered.ts'
import type { Incoming } from './admission/listeners.ts'
import type { Turnstile } from './admission/turnstile.ts'
import type { Rights } from './admission/users.ts'

/** Unsettled messages of one device before its socket is read no further. */
const maxUnsettled = 128

export type Answer = (error?: Error) => void

interface Held {
  readonly answer: Answer
  error: Error | undefined
}

const unknown: Rights = { username: undefined, mayPublish: () => false, maySubscribe: () => false }

export class Device {
  readonly conn: Duplex
  readonly address: string
  /** Whom its certificate names. */
  readonly certifiedAs: string | undefined
  readonly filters = new Set<string>()
  /** The highest QoS it was granted on this connection. */
  grantedQos: 0 | 1 | 2 = 0
  clientId = ''
  rights: Rights = unknown
  /** Why its CONNECT is refused, found before it is answered. */
  connectProblem: string | undefined
  /** Topic of its will. */
  willTopic: string | undefined
  /** 0: none. */
  keepaliveMs = 0
  /** Its session outlives its connections. */
  isKept = false
  isRegistered = false
  turnstile: Turnstile | undefined
  /** What of it no source has taken yet. */
  waitingBytes = 0
  /** Ends when the one before it with the same client id has left. */
  arrived: Promise<void> = Promise.resolve()
  /** Resolves when nothing of it is left in the broker. */
  readonly gone: Promise<void>
  readonly leave: () => void
  readonly #onLeft = new Set<() => void>()
  #silentMs = 0
  #waiting = 0
  // [MQTT-4.6.0-2]: acknowledgements leave in the order of the messages
  readonly #held = new OrderedPrefix<Held>(({ answer, error }) => answer(error))
  /** Settled, and answered when what they publish is on disk. */
  readonly #publishing = new OrderedPrefix<Held>(({ answer, error }) => answer(error))

  /** To be called when its CONNECT came. */
  readonly onConnect: () => void

  constructor({ conn, address, certifiedAs, onConnect }: Incoming) {
    this.conn = conn
    this.address = address
    this.certifiedAs = certifiedAs
    this.onConnect = onConnect
    const { promise, resolve } = Promise.withResolvers<void>()
    this.gone = promise
    this.leave = resolve
  }

  get isClosed(): boolean {
    return this.conn.destroyed
  }

  /** True while acknowledgements of `publishes` are not let go. */
  get isPublishing(): boolean {
    return this.#publishing.size > 0
  }

  get isBusy(): boolean {
    return this.#held.size + this.#publishing.size + this.#waiting > 0 || (this.turnstile?.isHolding ?? false)
  }

  get isHeld(): boolean {
    return (
      this.#held.size + this.#publishing.size + this.#waiting >= maxUnsettled || (this.turnstile?.isHolding ?? false)
    )
  }

  /** It was held, and is no longer: whoever reads it asks again. */
  readOn(): void {
    if (!this.isHeld && !this.isClosed) this.conn.emit('readable')
  }

  /** For what is answered out of turn: its device only waits until there is room for it. */
  waitForRoom(answer: Answer): Answer {
    this.#waiting += 1
    return (error) => {
      this.#waiting -= 1
      answer(error)
    }
  }

  /** Holds an acknowledgement back; the function given lets it go, in its turn. */
  hold(answer: Answer): Answer {
    return placed(this.#held, answer)
  }

  /** The same for messages that are settled, called in their order. */
  publishes(answer: Answer): Answer {
    return placed(this.#publishing, answer)
  }

  /** Calls `left` when the connection is over, at once where it is. */
  whenLeft(left: () => void): void {
    if (this.isClosed) left()
    else this.#onLeft.add(left)
  }

  forget(left: () => void): void {
    this.#onLeft.delete(left)
  }

  /** To be called when the connection is over. */
  left(): void {
    const all = [...this.#onLeft]
    this.#onLeft.clear()
    for (const left of all) left()
  }

  onBytes(): void {
    this.#silentMs = 0
  }

  /** True when it was silent for one and a half times its keep-alive [MQTT-3.1.2-24]; a device we hold may be silent. */
  isSilent(passedMs: number): boolean {
    if (this.keepaliveMs === 0 || this.isBusy || this.isHeld || this.waitingBytes > 0) return false
    this.#silentMs += passedMs
    return this.#silentMs > this.keepaliveMs * 1.5 + passedMs
  }

  close(): void {
    this.conn.destroy()
  }
}

function placed(order: OrderedPrefix<Held>, answer: Answer): Answer {
  const held: Held = { answer, error: undefined }
  const place = order.add(held)
  return (error) => {
    held.error = error
    order.finish(place)
  }
}
