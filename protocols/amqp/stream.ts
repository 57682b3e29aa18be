/**
 * Streams: logs that are read from an offset, and not emptied by reading. RabbitMQ keeps no position for readers that
 * speak AMQP, so that the gateway's store does: the offset behind the last message before which all are settled.
 */
import type { ConsumeMessage } from 'amqplib'
import type { Context } from '../../src/adapter/contract.ts'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { OrderedPrefix } from '../../src/adapter/ordered.ts'
import type { AmqpFromConfig } from './config.ts'

type StartFrom = NonNullable<AmqpFromConfig['startFrom']>
type ConsumeArguments = Readonly<Record<string, unknown>>

export const streamArgument = 'x-stream-offset'
const space = 'amqp-stream'
/** A stream that has anything at an offset gives it at once. */
const silenceMs = 5_000
/** A crash reads again what was settled within the last of these. */
const keepIntervalMs = 1_000
/**
 * What every queue takes, as it is the default, but a stream refuses. To a consumer without arguments a stream gives what
 * comes next only, and nobody would notice what was missed.
 */
export const notOfStream: ConsumeArguments = { 'x-priority': 0 }

/** How far a stream has been read; outlives connections and, in the store, the process. */
export class StreamPosition {
  readonly #queue: string
  readonly #startFrom: StartFrom
  readonly #context: Context
  #next: number | undefined
  /** How often it was made anew. */
  #life = 0
  #timer: NodeJS.Timeout | undefined

  constructor(queue: string, startFrom: StartFrom, context: Context) {
    this.#queue = queue
    this.#startFrom = startFrom
    this.#context = context
    for (const [key, value] of context.kept?.all(space) ?? []) {
      if (key === queue) this.#next = Number(Buffer.from(value).toString())
    }
  }

  /** The offset to go on with; undefined: nothing was settled yet. */
  get next(): number | undefined {
    return this.#next
  }

  /**
   * The last settled message comes once more, and is skipped: a stream that gives nothing at all is shorter than that,
   * and so another one of the same name.
   */
  get start(): ConsumeArguments {
    const offset = this.#next === undefined ? offsetOf(this.#startFrom) : Math.max(0, this.#next - 1)
    return { [streamArgument]: offset }
  }

  get life(): number {
    return this.#life
  }

  /** `life`: of the stream that the message came from. */
  settledUpTo(offset: number, life = this.#life): void {
    if (life !== this.#life || (this.#next !== undefined && offset < this.#next)) return
    this.#next = offset + 1
    this.#timer ??= setTimeout(() => this.keep(), keepIntervalMs).unref()
  }

  /** The first message has come. `next` and `last` are elsewhere by the next start: they would leave it out, and those behind it. */
  begin(offset: number): void {
    if (this.#next !== undefined || (this.#startFrom !== 'next' && this.#startFrom !== 'last')) return
    this.#next = offset
    this.#put()
  }

  keep(): void {
    if (this.#timer === undefined) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#put()
  }

  #put(): void {
    this.#context.kept?.put({ space, key: this.#queue, value: Buffer.from(`${this.#next}`) })
  }

  /** The last settled message would have come first. */
  tellGap(begin: number): void {
    const { connection, log } = this.#context
    this.#context.count('amqp_positions_lost')
    log.error(
      `${connection}: stream ${this.#queue} begins at offset ${begin} now, and was read up to ${this.#next}: messages may have been deleted before they were read`,
      { connection },
    )
  }

  /** The stream is another one now: what was kept means nothing there, and all that it has is new. */
  forget(): void {
    const { connection, log } = this.#context
    log.warn(
      `${connection}: stream ${this.#queue} ends before offset ${this.#next}, where its reading was: it was made anew, and is read from its first message`,
      { connection },
    )
    this.#next = 0
    this.#life += 1
    this.#timer ??= setTimeout(() => this.keep(), keepIntervalMs).unref()
  }
}

/** One reading of a stream, over one connection. */
export class StreamReading {
  readonly position: StreamPosition
  /** The first offset that was not settled before. */
  readonly firstNew: number
  readonly #life: number
  readonly #order = new OrderedPrefix<number>((offset) => this.position.settledUpTo(offset, this.#life))
  readonly #begun = Promise.withResolvers<void>()
  #last: number | undefined

  constructor(position: StreamPosition) {
    this.position = position
    this.#life = position.life
    this.firstNew = position.next ?? 0
  }

  /** False where the stream may be shorter than what was read of it already, or its broker slow: it gives nothing. */
  async hasBegunSoon(): Promise<boolean> {
    if (this.firstNew === 0) return true
    const begun = withDeadline(this.#begun.promise, silenceMs, 'the last message read')
    return begun.then(() => true).catch(() => false)
  }

  /** True once anything has come; until then nothing but the start is known of where the reading is. */
  get hasBegun(): boolean {
    return this.#last !== undefined
  }

  /** Where a consumer is to go on that takes the place of another. */
  get arguments(): ConsumeArguments {
    return this.#last === undefined ? this.position.start : { [streamArgument]: this.#last + 1 }
  }

  /**
   * False for what came already, by the consumer before or before the start. Where headers cannot be read the offset is
   * not known: such a message is new, perhaps once more, and moves nothing.
   */
  isNew(message: ConsumeMessage): boolean {
    this.#begun.resolve()
    const offset = offsetIn(message)
    if (offset === undefined) return true
    if (this.#last === undefined && this.firstNew > 0 && offset >= this.firstNew) this.position.tellGap(offset)
    if (this.#last === undefined) this.position.begin(offset)
    const isNew = offset >= this.firstNew && (this.#last === undefined || offset > this.#last)
    this.#last = Math.max(offset, this.#last ?? 0)
    return isNew
  }

  /** In the order of the offsets. Returns its place, for `settled`. */
  add(message: ConsumeMessage): number {
    return this.#order.add(offsetIn(message) ?? this.#last ?? this.firstNew - 1)
  }

  /** The message at this place is settled for good. */
  settled(place: number): void {
    this.#order.finish(place)
  }
}

/** Undefined where its headers cannot be read. */
export function offsetIn({ properties }: ConsumeMessage): number | undefined {
  const offset = Number(properties.headers?.[streamArgument])
  return Number.isSafeInteger(offset) ? offset : undefined
}

/** As RabbitMQ takes it: a word, a number, or a time in whole seconds. */
function offsetOf(startFrom: StartFrom): unknown {
  if (typeof startFrom === 'number' || startFrom === 'first' || startFrom === 'last' || startFrom === 'next')
    return startFrom
  return { '!': 'timestamp', value: Math.floor(Date.parse(startFrom) / 1000) }
}
