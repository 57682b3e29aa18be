/**
 * Bytes of packets that have begun and not ended, of all connections together. Each connection owns what it holds, in one
 * piece; when all hold too much, the ones whose packets grow most slowly are cut off: who never ends a packet is among them.
 */

const slackOfGrace = 0.9

/** What one connection holds. */
export interface Holding {
  /** Bytes held by now, in place of those before; 0: nothing has begun. */
  set(bytes: number): void
  close(): void
}

interface Holder {
  bytes: number
  /** When it began to hold, in milliseconds. */
  sinceMs: number
  cutOff(): void
}

export class Unfinished {
  readonly #maxBytes: number
  readonly #holders = new Set<Holder>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** `cutOff` ends the connection; what it held is then free. */
  hold(cutOff: () => void): Holding {
    const holder: Holder = { bytes: 0, sinceMs: 0, cutOff }
    return {
      set: (bytes) => this.#set(holder, bytes),
      close: () => this.#set(holder, 0),
    }
  }

  #set(holder: Holder, bytes: number): void {
    if (bytes === holder.bytes) return
    if (holder.bytes === 0) {
      holder.sinceMs = performance.now()
      this.#holders.add(holder)
    }
    this.#bytes += bytes - holder.bytes
    holder.bytes = bytes
    if (bytes === 0) this.#holders.delete(holder)
    else if (this.#bytes > this.#maxBytes) this.#makeRoom()
  }

  /** For some more than one, so that it is seldom. */
  #makeRoom(): void {
    const nowMs = performance.now()
    const paceOf = ({ bytes, sinceMs }: Holder) => bytes / (nowMs - sinceMs + 1)
    const slowest = [...this.#holders].sort((a, b) => paceOf(a) - paceOf(b))
    for (const holder of slowest) {
      if (this.#bytes <= this.#maxBytes * slackOfGrace) return
      this.#set(holder, 0)
      holder.cutOff()
    }
  }
}

/** The beginning of a packet: copied into bytes of its own, as what came may be a small part of a large read. */
export class Beginning {
  #bytes = Buffer.alloc(0)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** Bytes held, used or not. */
  get capacity(): number {
    return this.#bytes.length
  }

  /** `most`: of the whole packet, where that is known. */
  append(part: Buffer, most: number | undefined): void {
    const needed = this.#length + part.length
    if (needed > this.#bytes.length) {
      const roomy = Math.max(needed, this.#bytes.length * 2)
      const grown = Buffer.allocUnsafeSlow(most === undefined ? needed : Math.min(roomy, most))
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    part.copy(this.#bytes, this.#length)
    this.#length = needed
  }

  /** All of it with what follows; nothing is held then. */
  finish(rest: Buffer): Buffer {
    if (this.#length === 0) return rest
    const fits = this.#length + rest.length <= this.#bytes.length
    if (fits) rest.copy(this.#bytes, this.#length)
    const begun = this.#bytes.subarray(0, this.#length + (fits ? rest.length : 0))
    this.clear()
    return fits ? begun : Buffer.concat([begun, rest])
  }

  clear(): void {
    this.#bytes = Buffer.alloc(0)
    this.#length = 0
  }
}
