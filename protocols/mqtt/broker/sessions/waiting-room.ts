/**
 * One budget of bytes for messages that devices have sent and nobody has taken yet. While they fill it no device is read that
 * has some here: the network holds back what it sends. The others are read on, as what they send may be taken at once.
 */

/** What is held back while the room is full, and told when it is not. */
export interface Guest {
  /** What it has in the room. */
  waitingBytes: number
  readOn(): void
}

const defaultBytes = 16 * 1024 ** 2

export class WaitingRoom {
  readonly #maxBytes: number
  #bytes = 0
  readonly #outside = new Set<Guest>()

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

  /** True when `guest` must not be read; it is told when it may be. */
  keepsOut(guest: Guest): boolean {
    if (!this.isFull || guest.waitingBytes === 0) return false
    this.#outside.add(guest)
    return true
  }

  take(guest: Guest | undefined, bytes: number): void {
    this.#bytes += bytes
    if (guest !== undefined) guest.waitingBytes += bytes
  }

  /** Those outside come in once a quarter is free, each until the room is full again; one that has nothing here at once. */
  give(guest: Guest | undefined, bytes: number): void {
    this.#bytes -= bytes
    if (guest !== undefined) guest.waitingBytes -= bytes
    if (this.#outside.size === 0) return
    if (guest?.waitingBytes === 0 && this.#outside.delete(guest)) setImmediate(() => guest.readOn())
    if (this.#bytes > this.#maxBytes * 0.75) return
    const outside = [...this.#outside]
    this.#outside.clear()
    setImmediate(() => {
      for (const guest of outside) guest.readOn()
    })
  }

  leave(guest: Guest): void {
    this.#outside.delete(guest)
  }
}

/** What one message takes of the room, until the last of those it was offered to has it or lets it go. */
export class Place {
  readonly #room: WaitingRoom
  readonly #guest: Guest | undefined
  readonly #bytes: number
  #parts: number

  /** `guest`: undefined for a will. */
  constructor(room: WaitingRoom, guest: Guest | undefined, { bytes, parts }: { bytes: number; parts: number }) {
    this.#room = room
    this.#guest = guest
    this.#bytes = bytes
    this.#parts = parts
    room.take(guest, bytes)
  }

  giveUpPart(): void {
    this.#parts -= 1
    if (this.#parts === 0) this.#room.give(this.#guest, this.#bytes)
  }
}
