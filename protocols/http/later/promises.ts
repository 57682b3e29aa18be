import { randomBytes } from 'node:crypto'
import type { Kept } from '../../../src/adapter/contract.ts'
import { Queue } from '../../../src/adapter/queue.ts'
import { PermanentError } from '../../../src/errors.ts'
import type { WholeAnswer } from '../listener/answer.ts'
import { Ids } from './ids.ts'
import { packAnswer, unpackAnswer } from './record.ts'

export interface PromiseLimits {
  readonly maxCount: number
  readonly maxBytes: number
  /** How long an answer is kept, in milliseconds. */
  readonly maxAge: number
}

/** `unknown`: never given to this asker. `gone`: too old, or deleted. */
export type State = 'unknown' | 'gone' | 'pending' | 'ready'

/** What is on disk of each, beside its request or its answer. */
interface Noted {
  readonly owner: string
  readonly sizeBytes: number
  /** Milliseconds since the epoch. */
  readonly askedAt: number
  readonly answeredAt?: number
}

interface Entry extends Noted {
  /** Undefined until the answer is on disk. */
  readonly isReady: boolean
}

const index = 'later'
const secrets = 'later secret'
/** A space for each: one can be read without the others. */
const spaceOf = (id: string) => `later ${id}`

/**
 * Answers that were promised to those who come back for them, by id; on disk, but for a line of each.
 *
 *   add -> asked -> answer -> ready -> (maxAge, remove) -> gone
 *            ^ |
 *            '-' askAgain: the gateway stopped, or was killed, before there was an answer
 */
export class Promises {
  readonly #kept: Kept
  readonly #limits: PromiseLimits
  readonly #ids: Ids
  readonly #entries = new Map<string, Entry>()
  readonly #listeners = new Map<string, Set<() => void>>()
  readonly #toAsk = new Queue<string>()
  #bytes = 0

  constructor(kept: Kept, limits: PromiseLimits) {
    this.#kept = kept
    this.#limits = limits
    this.#ids = new Ids(secretIn(kept))
    this.#load()
  }

  /** Why none is taken now; undefined: there is room. */
  get problem(): string | undefined {
    if (this.#entries.size >= this.#limits.maxCount) return 'as many requests as `replies.maxCount` are kept'
    return this.#bytes >= this.#limits.maxBytes ? 'as many bytes as `replies.maxBytes` are kept' : undefined
  }

  /** Nobody may be told its id before `kept` has resolved: then it is on disk. It is not asked before `askAgain`. */
  add(request: Uint8Array, who: string): { readonly id: string; readonly kept: Promise<void> } {
    const id = this.#ids.next()
    const noted = { owner: this.#ids.ownerOf(who), sizeBytes: request.byteLength, askedAt: Date.now() }
    this.#set(id, { ...noted, isReady: false })
    this.#kept.put({ space: spaceOf(id), key: 'request', value: request })
    this.#note(id, noted)
    return { id, kept: this.#kept.flushed() }
  }

  /** It waits to be asked, behind all that wait. */
  askAgain(id: string): void {
    this.#toAsk.push(id)
  }

  /** The next that is to be asked. */
  next(): { readonly id: string; readonly request: Uint8Array } | undefined {
    for (let id = this.#toAsk.shift(); id !== undefined; id = this.#toAsk.shift()) {
      const request = this.#entries.get(id)?.answeredAt === undefined ? this.#read(id, 'request') : undefined
      if (request !== undefined) return { id, request }
    }
    return undefined
  }

  /** Resolves when it is on disk, in one transaction with the end of its request. Rejects with a PermanentError where it cannot be kept. */
  async answer(id: string, answer: WholeAnswer): Promise<void> {
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.answeredAt !== undefined) throw nobody()
    const value = packAnswer(answer)
    const noted = { owner: entry.owner, sizeBytes: value.byteLength, askedAt: entry.askedAt, answeredAt: Date.now() }
    this.#checkRoomFor(answer, value.byteLength - entry.sizeBytes)
    this.#set(id, { ...noted, isReady: false })
    this.#kept.put({ space: spaceOf(id), key: 'answer', value })
    this.#kept.delete(spaceOf(id), 'request')
    this.#note(id, noted)
    await this.#kept.flushed()
    if (this.#entries.has(id)) this.#set(id, { ...noted, isReady: true })
    this.#wake(id)
  }

  /** True for an id that was given, to whomever. */
  isOurs(id: string): boolean {
    return this.#ids.isOurs(id)
  }

  stateOf(id: string, who: string): State {
    if (!this.#ids.isOurs(id)) return 'unknown'
    const entry = this.#entries.get(id)
    if (entry === undefined || this.#isOld(entry)) return 'gone'
    if (entry.owner !== this.#ids.ownerOf(who)) return 'unknown'
    return entry.isReady ? 'ready' : 'pending'
  }

  /** Resolves when something has become of it, or `signal` aborts. */
  async changed(id: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const listeners = this.#listeners.get(id) ?? new Set()
    this.#listeners.set(id, listeners.add(resolve))
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
    await promise
    listeners.delete(resolve)
    if (listeners.size === 0) this.#listeners.delete(id)
  }

  /** Of one that is ready. */
  answerOf(id: string): WholeAnswer | undefined {
    const value = this.#read(id, 'answer')
    return value && unpackAnswer(value)
  }

  /** Resolves when nothing is left of it on disk. */
  async remove(id: string): Promise<void> {
    this.#forget(id)
    await this.#kept.flushed()
  }

  /** Lets go of what is too old; how many those were. */
  sweep(): number {
    const old = [...this.#entries].filter(([, entry]) => this.#isOld(entry))
    for (const [id] of old) this.#forget(id)
    return old.length
  }

  /** What is small, such as an error, is kept in any case. */
  #checkRoomFor({ status }: WholeAnswer, moreBytes: number): void {
    if (status >= 500 || this.#bytes + moreBytes <= this.#limits.maxBytes) return
    throw new PermanentError('MESSAGE_TOO_LARGE', 'there is no room for the reply within `replies.maxBytes`')
  }

  #isOld({ answeredAt }: Noted): boolean {
    return answeredAt !== undefined && Date.now() - answeredAt > this.#limits.maxAge
  }

  #set(id: string, entry: Entry): void {
    this.#bytes += entry.sizeBytes - (this.#entries.get(id)?.sizeBytes ?? 0)
    this.#entries.set(id, entry)
  }

  #note(id: string, noted: Noted): void {
    this.#kept.put({ space: index, key: id, value: Buffer.from(JSON.stringify(noted)) })
  }

  #forget(id: string): void {
    this.#bytes -= this.#entries.get(id)?.sizeBytes ?? 0
    this.#entries.delete(id)
    this.#kept.delete(index, id)
    for (const key of ['request', 'answer']) this.#kept.delete(spaceOf(id), key)
    this.#wake(id)
  }

  #wake(id: string): void {
    for (const resolve of this.#listeners.get(id) ?? []) resolve()
  }

  #read(id: string, wanted: 'request' | 'answer'): Uint8Array | undefined {
    for (const [key, value] of this.#kept.all(spaceOf(id))) if (key === wanted) return value
    return undefined
  }

  /** What was asked and has no answer is asked again, in the order of asking. */
  #load(): void {
    const all = [...this.#kept.all(index)].map(([id, value]) => {
      const noted = JSON.parse(Buffer.from(value).toString()) as Noted
      return { id, entry: { ...noted, isReady: noted.answeredAt !== undefined } }
    })
    for (const { id, entry } of all.sort((one, other) => one.entry.askedAt - other.entry.askedAt)) {
      this.#set(id, entry)
      if (!entry.isReady) this.#toAsk.push(id)
    }
  }
}

const nobody = () => new PermanentError('REPLY_UNEXPECTED', 'whoever asked by HTTP has deleted the request')

/** Drawn once; ids that were given stay known over restarts. On disk with the first of them. */
function secretIn(kept: Kept): Uint8Array {
  for (const [, value] of kept.all(secrets)) return value
  const value = randomBytes(32)
  kept.put({ space: secrets, key: 'ids', value })
  return value
}
