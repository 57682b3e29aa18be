/**
 * Judges what a gateway has done, knowing nothing of it: what was issued, what its source acknowledged, what an independent
 * client found at the target. Two bytes of memory for each message.
 */
import { decodeMessage, encodeMessage, type MessageId } from './message.ts'

/** What producers have sent. Shared by as many oracles as there are targets. */
export class IssueLog {
  readonly #keys = new Map<string, { issued: number; isAcked: Uint8Array }>()
  issued = 0
  acked = 0

  /** The next message of this key, to be sent, and sent again until it is acknowledged. */
  issue(key: string, bytes?: number): MessageId & { readonly payload: Buffer } {
    const log = this.#keys.get(key) ?? { issued: 0, isAcked: new Uint8Array(64) }
    this.#keys.set(key, log)
    const n = log.issued
    log.issued += 1
    log.isAcked = withRoom(log.isAcked, n)
    this.issued += 1
    return { key, n, payload: encodeMessage({ key, n }, bytes) }
  }

  /** The producer has its acknowledgement; a second one counts for nothing. */
  acknowledge({ key, n }: MessageId): void {
    const log = this.#keys.get(key)
    if (log === undefined || n >= log.issued) throw new Error(`acknowledged, but never issued: ${key} ${n}`)
    if (log.isAcked[n] === 1) return
    log.isAcked[n] = 1
    this.acked += 1
  }

  isIssued({ key, n }: MessageId): boolean {
    return n < (this.#keys.get(key)?.issued ?? 0)
  }

  isAcked({ key, n }: MessageId): boolean {
    return this.#keys.get(key)?.isAcked[n] === 1
  }

  *keys(): Iterable<readonly [key: string, issued: number]> {
    for (const [key, { issued }] of this.#keys) yield [key, issued]
  }
}

export interface Verdict {
  readonly issued: number
  readonly acked: number
  /** Different messages that arrived. */
  readonly delivered: number
  /** Acknowledged, and never delivered. */
  readonly missing: number
  /** Delivered, and never issued. */
  readonly spurious: number
  /** Delivered with a changed bit, or under the key of another. */
  readonly corrupted: number
  /** Delivered, though its producer was never told that it is safe: allowed. */
  readonly unackedDelivered: number
  /** Deliveries beyond the first. */
  readonly duplicates: number
  /** First deliveries that came after a later message of their key. */
  readonly inversions: number
}

export interface Arrival {
  /** The key the target has it under; left out where there is none. */
  readonly key?: string | undefined
  /** The broker says that it may have handed out this very copy before. */
  readonly isAgain?: boolean
}

/** One target's judge. */
export class Oracle {
  readonly #log: IssueLog
  readonly #keys = new Map<string, { copies: Uint8Array; highest: number }>()
  readonly #examples: string[] = []
  #delivered = 0
  #deliveredAcked = 0
  #spurious = 0
  #corrupted = 0
  #duplicates = 0
  #inversions = 0

  constructor(log: IssueLog) {
    this.#log = log
  }

  /** Different messages that arrived. */
  get delivered(): number {
    return this.#delivered
  }

  /** Called for every copy found at the target, in the order found. */
  deliver(payload: Uint8Array, { key, isAgain = false }: Arrival = {}): void {
    const id = decodeMessage(payload)
    if (id === undefined || (key !== undefined && key !== id.key)) {
      this.#corrupted += 1
      this.#remember(`corrupted, under key ${key}: ${Buffer.from(payload).toString('latin1', 0, 120)}`)
    } else if (!this.#log.isIssued(id)) {
      this.#spurious += 1
      this.#remember(`spurious: ${id.key} ${id.n}`)
    } else {
      this.#count(id, isAgain)
    }
  }

  #count(id: MessageId, isAgain: boolean): void {
    const seen = this.#keys.get(id.key) ?? { copies: new Uint8Array(64), highest: -1 }
    this.#keys.set(id.key, seen)
    seen.copies = withRoom(seen.copies, id.n)
    const before = seen.copies[id.n]!
    if (before > 0) {
      if (!isAgain) this.#duplicates += 1
      return
    }
    seen.copies[id.n] = 1
    this.#delivered += 1
    if (id.n < seen.highest) {
      this.#inversions += 1
      this.#remember(`out of order: ${id.key} ${id.n} after ${seen.highest}`)
    }
    seen.highest = Math.max(seen.highest, id.n)
  }

  /** Acknowledged messages that have not arrived, without end where many are. */
  *missing(): Iterable<MessageId> {
    for (const [key, issued] of this.#log.keys()) {
      const copies = this.#keys.get(key)?.copies
      for (let n = 0; n < issued; n += 1) {
        if (!copies?.[n] && this.#log.isAcked({ key, n })) yield { key, n }
      }
    }
  }

  /** True when everything acknowledged has arrived. Cheap enough to be asked often. */
  get isComplete(): boolean {
    if (this.#delivered < this.#log.acked) return false
    return this.missing()[Symbol.iterator]().next().done === true
  }

  verdict(): Verdict {
    let missing = 0
    for (const { key, n } of this.missing()) {
      missing += 1
      if (missing <= 5) this.#remember(`missing: ${key} ${n}`)
    }
    this.#deliveredAcked = this.#log.acked - missing
    return {
      issued: this.#log.issued,
      acked: this.#log.acked,
      delivered: this.#delivered,
      missing,
      spurious: this.#spurious,
      corrupted: this.#corrupted,
      unackedDelivered: this.#delivered - this.#deliveredAcked,
      duplicates: this.#duplicates,
      inversions: this.#inversions,
    }
  }

  /** The first few defects, for whoever looks for their cause. */
  get examples(): readonly string[] {
    return this.#examples
  }

  #remember(example: string): void {
    if (this.#examples.length < 20) this.#examples.push(example)
  }
}

export interface Bounds {
  /** In-flight window times what may have made the gateway send again: crashes and reconnects. */
  readonly duplicatesAtMost: number
}

/** What no run may show, one sentence each; empty: the gateway has kept its word. */
export function defects(verdict: Verdict, { duplicatesAtMost }: Bounds): string[] {
  const never = ['missing', 'spurious', 'corrupted', 'inversions'] as const
  const found = never.filter((name) => verdict[name] > 0).map((name) => `${verdict[name]} ${name}`)
  if (verdict.duplicates > duplicatesAtMost) found.push(`${verdict.duplicates} duplicates, ${duplicatesAtMost} allowed`)
  if (verdict.acked === 0) found.push('nothing was acknowledged: the run proves nothing')
  return found
}

function withRoom(bytes: Uint8Array, index: number): Uint8Array {
  if (index < bytes.length) return bytes
  const larger = new Uint8Array(Math.max(index + 1, bytes.length * 2))
  larger.set(bytes)
  return larger
}
