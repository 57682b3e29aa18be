/**
 * One budget of bytes for messages that devices have sent and nobody has taken yet. While they fill it no device is read, so
 * that the network holds them back.
 */

/** What is held back while the room is full, and told when it is not. */
export interface Guest {
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
    if (!this.isFull) return false
    this.#outside.add(guest)
    return true
  }

  take(bytes: number): void {
    this.#bytes += bytes
  }

  /** Those outside come in once a quarter is free, each until the room is full again. */
  give(bytes: number): void {
    this.#bytes -= bytes
    if (this.#outside.size === 0 || this.#bytes > this.#maxBytes * 0.75) return
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
  readonly #bytes: number
  #parts: number

  constructor(room: WaitingRoom, bytes: number, parts: number) {
    this.#room = room
    this.#bytes = bytes
    this.#parts = parts
    room.take(bytes)
  }

  giveUpPart(): void {
    this.#parts -= 1
    if (this.#parts === 0) this.#room.give(this.#bytes)
  }
}
