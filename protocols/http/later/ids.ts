/** Names of replies. A name is the right to read the reply, so nobody can guess one; and each shows that we gave it. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const randomBytesOfId = 16
const shape = /^[\w-]{22}[\w-]{22}$/

/** `secret`: the same over restarts. */
export class Ids {
  readonly #secret: Uint8Array

  constructor(secret: Uint8Array) {
    this.#secret = secret
  }

  next(): string {
    const drawn = randomBytes(randomBytesOfId).toString('base64url')
    return `${drawn}${this.#markOf(drawn)}`
  }

  /** True for every id that was ever given, also where nothing is left of it. */
  isOurs(id: string): boolean {
    if (!shape.test(id)) return false
    const [drawn, mark] = [id.slice(0, 22), id.slice(22)]
    return timingSafeEqual(Buffer.from(mark), Buffer.from(this.#markOf(drawn)))
  }

  /** Of whoever asked: the same for the same, and no help to whoever reads the disk. */
  ownerOf(who: string): string {
    return this.#digest(`owner ${who}`).toString('base64url')
  }

  #markOf(drawn: string): string {
    return this.#digest(`id ${drawn}`).subarray(0, randomBytesOfId).toString('base64url')
  }

  #digest(text: string): Buffer {
    return createHmac('sha256', this.#secret).update(text).digest()
  }
}
