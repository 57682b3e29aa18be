/** What the outlets together may hold in memory of what is in the store, and what each may hold whatever the others do. */
const ownBytes = 256 * 1024
const maxCount = 512
/** Those that are refused for now and wait for their time are no traffic: others go on past them. */
const maxRefused = 4096
const maxOwnBytes = 16 * 1024 ** 2

/** The process's share of memory for stored messages on their way. */
export class Residence {
  readonly maxBytes: number
  bytes = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }
}

/** One outlet's part of it. */
export class Room {
  readonly #shared: Residence
  #count = 0
  #refused = 0
  #bytes = 0

  constructor(shared: Residence) {
    this.#shared = shared
  }

  get isFull(): boolean {
    return this.#isFullItself || (this.#bytes >= ownBytes && this.#shared.bytes >= this.#shared.maxBytes)
  }

  /** True when it is full only as others have taken what there is: nothing of its own will tell when there is room again. */
  get isCrowdedOut(): boolean {
    return this.isFull && !this.#isFullItself
  }

  /** True when it is worth while to read the next page. */
  get hasSlack(): boolean {
    return !this.isFull && this.#count <= maxCount / 2
  }

  /** How many more it may take. */
  get left(): number {
    return maxCount - this.#count
  }

  get isEmpty(): boolean {
    return this.#count + this.#refused === 0
  }

  take(bytes: number): void {
    this.#count += 1
    this.#bytes += bytes
    this.#shared.bytes += bytes
  }

  /** One that was taken waits for its time. */
  setAside(): void {
    this.#count -= 1
    this.#refused += 1
  }

  give(bytes: number, wasSetAside: boolean): void {
    if (wasSetAside) this.#refused -= 1
    else this.#count -= 1
    this.#bytes -= bytes
    this.#shared.bytes -= bytes
  }

  get #isFullItself(): boolean {
    return this.#count >= maxCount || this.#refused >= maxRefused || this.#bytes >= maxOwnBytes
  }
}
