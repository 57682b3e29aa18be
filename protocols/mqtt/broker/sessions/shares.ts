/**
 * A bound on bytes that users share: one of them may have as much as it leaves free. So whoever fills the room leaves
 * half of it, the next one half of that, and nobody is shut out by another. Without a name there is one user, who has all.
 */
export class Shares {
  readonly #max: number
  readonly #byUser = new Map<string, number>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#max = maxBytes
  }

  /** True where `more` bytes may be taken for this user. */
  hasRoom(user: string | undefined, more: number): boolean {
    const left = this.#max - this.#bytes - more
    return left >= 0 && (user === undefined || (this.#byUser.get(user) ?? 0) + more <= left)
  }

  /** Negative: gives bytes back. */
  take(user: string | undefined, bytes: number): void {
    this.#bytes += bytes
    if (user === undefined || bytes === 0) return
    const used = (this.#byUser.get(user) ?? 0) + bytes
    if (used === 0) this.#byUser.delete(user)
    else this.#byUser.set(user, used)
  }
}
