/**
 * One budget of bytes for messages that devices have sent and nobody has taken yet. While they fill it no device is read that
 * has some here: the network holds back what it sends. The others are read on, as what they send may be taken at once.
 */

/** What is held back while the room is full, and told when it is not. */
export interface Holder {
  /** What it has in the buffer. */
  waitingBytes: number
  readOn(): void
}

const defaultBytes = 16 * 1024 ** 2

export class ReceiveBuffer {
  readonly #maxBytes: number
  #bytes = 0
  readonly #outside = new Set<Holder>()

  constructor(maxPacketBytes: number) {
    this.#maxBytes = Math.max(defaultBytes, 2 * maxPacketBytes)
  }

  get isFull(): boolean {
    return this.#bytes >= this.#maxBytes
  }

  /** True when even what no socket holds back, such as messages behind a CONNECT, has no room any more. */
  get isCrowded(): boolean {
    return this.#bytes >= 2 * this.#maxBytes
  }

  /** True when `holder` must not be read; it is told when it may be. */
  keepsOut(holder: Holder): boolean {
    if (!this.isFull || holder.waitingBytes === 0) return false
    this.#outside.add(holder)
    return true
  }

  take(holder: Holder | undefined, bytes: number): void {
    this.#bytes += bytes
    if (holder !== undefined) holder.waitingBytes += bytes
  }

  /** Those outside come in once a quarter is free, each until the room is full again; one that has nothing here at once. */
  give(holder: Holder | undefined, bytes: number): void {
    this.#bytes -= bytes
    if (holder !== undefined) holder.waitingBytes -= bytes
    if (this.#outside.size === 0) return
    if (holder?.waitingBytes === 0 && this.#outside.delete(holder)) setImmediate(() => holder.readOn())
    if (this.#bytes > this.#maxBytes * 0.75) return
    const outside = [...this.#outside]
    this.#outside.clear()
    setImmediate(() => {
      for (const holder of outside) holder.readOn()
    })
  }

  leave(holder: Holder): void {
    this.#outside.delete(holder)
  }
}

/** What one message takes of the buffer, until the last of those it was offered to has it or lets it go. */
export class Reservation {
  readonly #buffer: ReceiveBuffer
  readonly #holder: Holder | undefined
  readonly #bytes: number
  #parts: number

  /** `holder`: undefined for a will. */
  constructor(buffer: ReceiveBuffer, holder: Holder | undefined, { bytes, parts }: { bytes: number; parts: number }) {
    this.#buffer = buffer
    this.#holder = holder
    this.#bytes = bytes
    this.#parts = parts
    buffer.take(holder, bytes)
  }

  giveUpPart(): void {
    this.#parts -= 1
    if (this.#parts === 0) this.#buffer.give(this.#holder, this.#bytes)
  }
}
