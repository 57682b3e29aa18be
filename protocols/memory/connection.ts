/** The peer itself: a bus inside this process, with the faults a test wants to see. */
import type { Settlement } from '../../src/adapter/contract.ts'
import type { MemoryFields, MemoryMessage } from './codec.ts'
import type { BusFault } from './errors.ts'
import { Subscription } from './subscription.ts'

export type BusAnswer = 'confirmed' | Exclude<BusFault, 'down'>

/** A message taken in whose confirmation the test holds back. */
export interface HeldConfirm {
  readonly message: MemoryMessage
  confirm(): void
}

const buses = new Map<string, MemoryBus>()

/** The bus of that name; made at first mention, the same one ever after. */
export function memoryBus(name: string): MemoryBus {
  const bus = buses.get(name) ?? new MemoryBus(name)
  buses.set(name, bus)
  return bus
}

export class MemoryBus {
  readonly name: string
  /** All that was ever taken in, in order. A subscription made later starts with these. */
  readonly published: MemoryMessage[] = []
  /** What sources said about messages, in order. */
  readonly settlements: { readonly message: MemoryMessage; readonly settlement: Settlement }[] = []
  /** Confirmations held back; confirm them in any order. */
  readonly held: HeldConfirm[] = []
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #links = new Set<() => void>()
  readonly #refusals: ('busy' | 'refused')[] = []
  #isHolding = false
  #isDown = false

  constructor(name: string) {
    this.name = name
  }

  get isDown(): boolean {
    return this.#isDown
  }

  /** Takes a message in; resolves when it is confirmed or turned away. */
  publish(topic: string, fields: MemoryFields): Promise<BusAnswer> {
    if (this.#isDown) return Promise.resolve('lost')
    const refusal = this.#refusals.shift()
    if (refusal !== undefined) return Promise.resolve(refusal)
    const message = { topic, fields, sequence: this.published.length }
    this.published.push(message)
    for (const subscription of this.#subscriptions.values()) subscription.offer(message)
    return this.#isHolding ? this.#hold(message) : Promise.resolve('confirmed')
  }

  /** The subscription to a pattern; it outlives its consumers and keeps what they have not settled. */
  subscribe(pattern: string): Subscription {
    const known = this.#subscriptions.get(pattern)
    if (known !== undefined) return known
    const subscription = new Subscription(pattern)
    this.#subscriptions.set(pattern, subscription)
    for (const message of this.published) subscription.offer(message)
    return subscription
  }

  /** Calls `onLost` once when the bus goes down; returns the function that lets go. */
  link(onLost: () => void): () => void {
    this.#links.add(onLost)
    return () => this.#links.delete(onLost)
  }

  /** Refuses the next `count` messages: for now ("busy") or for good ("refused"). */
  refuseNext(count: number, how: 'busy' | 'refused'): void {
    this.#refusals.push(...Array<typeof how>(count).fill(how))
  }

  /** From now on messages are taken in, but confirmed only through `held` or by `confirmAll`. */
  holdConfirms(): void {
    this.#isHolding = true
  }

  confirmAll(): void {
    this.#isHolding = false
    for (const { confirm } of [...this.held]) confirm()
  }

  /** Ends every link and connects nobody until `goUp`; what is held is never confirmed. */
  goDown(): void {
    this.#isDown = true
    this.held.length = 0
    const links = [...this.#links]
    this.#links.clear()
    for (const onLost of links) onLost()
  }

  goUp(): void {
    this.#isDown = false
  }

  #hold(message: MemoryMessage): Promise<BusAnswer> {
    const { promise, resolve } = Promise.withResolvers<BusAnswer>()
    const letGo = this.link(() => resolve('lost'))
    const confirm = () => {
      letGo()
      this.held.splice(this.held.indexOf(entry), 1)
      resolve('confirmed')
    }
    const entry = { message, confirm }
    this.held.push(entry)
    return promise
  }
}
