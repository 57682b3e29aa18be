/**
 * The filters that the broker's session of one client holds, as the store remembers them: what no route asks for any more
 * is unsubscribed, and which subscription a copy of a message came by is known from its identifier (MQTT 5).
 *
 * A filter is `wanted`, or `given up` and to be unsubscribed, or `gone` and remembered for what the broker had kept by its
 * identifier: those copies are for whom it served, and for readers that came after it. Others had copies of their own.
 */
import { randomInt } from 'node:crypto'
import type { Context } from '../../../src/adapter/contract.ts'
import { Standing, type Wish } from '../../../src/adapter/standing.ts'
import { messageOf } from '../../../src/errors.ts'
import type { MqttFrom } from '../config.ts'
import { filterOf } from '../topic.ts'
import type { Link } from './connection.ts'
import { intersections, type Qos } from './subscription.ts'

/** One filter to subscribe to, as the broker is told it, and whom it serves. */
export interface Wanted {
  readonly filter: string
  readonly qos: Qos
  readonly readers: ReadonlySet<MqttFrom>
}

interface Held extends Wish {
  readonly clientId: string
  readonly filter: string
  /** Its identifier, where it has one. Grows; none is used twice in a session. */
  readonly number: number
  /** True where the broker was ever told the identifier. */
  readonly isMarked: boolean
  /** What the routes it has served ask for, where it is marked. */
  readonly served: readonly string[]
  /** The number that was next when no route wanted it any more. */
  readonly givenUpAt?: number
  readonly isGone?: boolean
}

/** Far from each other after a lost store, and far from the largest, 268,435,455. */
const firstNumbers = 1 << 27
/** More are forgotten: what the broker has kept by them then goes to every route that reads its topic. */
const mostGone = 256

export class HeldFilters {
  readonly #wanted: readonly Wanted[]
  readonly #clientId: string
  readonly #context: Context
  readonly #standing: Standing<Held>
  readonly #held: Map<string, Held>
  #readers: ReadonlyMap<number, ReadonlySet<MqttFrom>> = new Map()
  #next: number
  #hasWarned = false

  constructor(wanted: readonly Wanted[], clientId: string, context: Context) {
    this.#wanted = wanted
    this.#clientId = clientId
    this.#context = context
    this.#standing = new Standing(context)
    this.#held = this.#standing.all()
    const numbers = [...this.#held.values()].map(({ number, givenUpAt = 0 }) => Math.max(number + 1, givenUpAt))
    this.#next = numbers.length > 0 ? Math.max(...numbers) : randomInt(1, firstNumbers)
  }

  /** Makes the session hold what is wanted; resolves with the granted QoS of each filter. */
  async bring(link: Link, isKept: boolean): Promise<ReadonlyMap<string, number>> {
    if (!link.sessionPresent) this.#forgetSession(isKept)
    else if (this.#held.size === 0 && this.#context.kept !== undefined) this.#warn(unknownSession(this.#clientId))
    this.#tellOtherSessions()
    const marked = this.#toMark(link)
    this.#plan(marked, isKept)
    await this.#standing.flushed() // before the broker knows of them: a crash must not leave what nobody remembers
    return await this.#subscribe(link, marked)
  }

  /** Whom a copy is for, by its subscription identifiers; undefined: all that read its topic. */
  readersOf(identifier: number | readonly number[] | undefined): ReadonlySet<MqttFrom> | undefined {
    if (identifier === undefined) return undefined
    if (typeof identifier === 'number') return this.#readers.get(identifier)
    const sets = identifier.map((each) => this.#readers.get(each))
    if (sets.includes(undefined)) return undefined
    return new Set(sets.flatMap((set) => [...(set ?? [])]))
  }

  #forgetSession(isKept: boolean): void {
    const held = this.#of(this.#clientId)
    for (const each of held) this.#forget(each)
    if (isKept && held.length > 0) this.#warn(lostSession(this.#clientId))
  }

  /** What filters are subscribed to with an identifier: those that some topic matches two of. */
  #toMark({ version, limits }: Link): ReadonlySet<string> {
    const pairs = intersections(this.#wanted.map(({ filter }) => filter))
    if (version === 5 && limits.canIdentify) return new Set(pairs.flat())
    const [pair] = pairs
    if (pair !== undefined && !this.#hasWarned) this.#warn(intersecting(pair))
    this.#hasWarned = true
    return new Set()
  }

  #plan(marked: ReadonlySet<string>, isKept: boolean): void {
    const standing = new Map(this.#of(this.#clientId).flatMap((held) => (isWanted(held) ? [[held.filter, held]] : [])))
    const wanted = new Set(this.#wanted.map(({ filter }) => filter))
    for (const [filter, held] of standing) {
      if (!wanted.has(filter)) this.#remember({ ...held, givenUpAt: this.#next }, isKept)
    }
    const numbered = this.#wanted.map((each): [number, ReadonlySet<MqttFrom>] => {
      const held = standing.get(each.filter) ?? this.#newFilter(each.filter)
      this.#remember(marked.has(each.filter) ? markedFor(held, each.readers) : held, isKept)
      return [held.number, each.readers]
    })
    this.#readers = new Map([...this.#leftOver(numbered.flatMap(([, readers]) => [...readers])), ...numbered])
  }

  #newFilter(filter: string): Held {
    const number = this.#next
    this.#next += 1
    const text = `${filter} in the session of client ${this.#clientId}`
    return { text, clientId: this.#clientId, filter, number, isMarked: false, served: [] }
  }

  /** Whom the copies are for that the broker has kept by identifiers of filters given up. */
  #leftOver(readers: readonly MqttFrom[]): [number, ReadonlySet<MqttFrom>][] {
    const all = this.#of(this.#clientId)
    return all.flatMap(({ number, givenUpAt, isMarked, served }) => {
      if (givenUpAt === undefined || !isMarked) return []
      const others = all.filter((held) => held.number !== number && held.number < givenUpAt)
      const elsewhere = new Set(others.flatMap((held) => held.served))
      const isFor = ({ topic }: MqttFrom) => served.includes(filterOf(topic)) || !elsewhere.has(filterOf(topic))
      return [[number, new Set(readers.filter(isFor))]]
    })
  }

  async #subscribe(link: Link, marked: ReadonlySet<string>): Promise<ReadonlyMap<string, number>> {
    const plain = this.#wanted.filter(({ filter }) => !marked.has(filter))
    const numberOf = new Map(
      this.#of(this.#clientId)
        .filter(isWanted)
        .map(({ filter, number }) => [filter, number]),
    )
    const asked = this.#wanted
      .filter(({ filter }) => marked.has(filter))
      .map((each) => link.subscribe(qosOf([each]), numberOf.get(each.filter))) // an identifier is for all of one packet
    if (plain.length > 0) asked.push(link.subscribe(qosOf(plain)))
    return new Map((await Promise.all(asked)).flatMap((granted) => [...granted]))
  }

  /**
   * Lets go of what no route wants. Only after SUBACK: a filter given up may be all that has served a route so far. What is
   * not confirmed is told, and asked for again on the next connection. Never rejects.
   */
  async letGo(link: Link): Promise<void> {
    const wanted = new Set(this.#wanted.map(({ filter }) => filter))
    const [replaced, left] = split(this.#of(this.#clientId).filter(isToLeave), ({ filter }) => wanted.has(filter))
    for (const held of replaced) this.#leave(held)
    if (left.length === 0) return
    const filters = left.map(({ filter }) => filter)
    const refusals = await link.unsubscribe(filters).catch((error) => filters.map(() => messageOf(error)))
    for (const [i, held] of left.entries()) {
      const refusal = refusals[i]
      if (refusal !== undefined) this.#warn(stillThere(held.filter, refusal))
      else this.#leave(held, `unsubscribed from ${held.filter}, which no route reads any more`)
    }
  }

  #leave(held: Held, text?: string): void {
    if (text !== undefined) this.#context.log.info(text, { connection: this.#context.connection })
    if (held.isMarked) this.#remember({ ...held, isGone: true }, true)
    else this.#forget(held)
    const gone = this.#of(this.#clientId).filter(({ isGone }) => isGone)
    if (gone.length > mostGone && gone[0] !== undefined) this.#forget(gone[0])
  }

  /** Sessions under a former client id: nobody connects to them any more. */
  #tellOtherSessions(): void {
    const others = [...this.#held.values()].filter(({ clientId }) => clientId !== this.#clientId)
    for (const [clientId, held] of Map.groupBy(others, (each) => each.clientId)) {
      this.#warn(
        otherSession(
          clientId,
          held.filter(({ isGone }) => !isGone).map(({ filter }) => filter),
        ),
      )
      for (const each of held) this.#forget(each)
    }
  }

  #of(clientId: string): Held[] {
    return [...this.#held.values()].filter((held) => held.clientId === clientId)
  }

  #remember(held: Held, isKept: boolean): void {
    const name = `${held.number}`
    const isNews = JSON.stringify(held) !== JSON.stringify(this.#held.get(name))
    this.#held.set(name, held)
    if (isKept && isNews) this.#standing.put(name, held)
  }

  #forget({ number }: Held): void {
    this.#held.delete(`${number}`)
    this.#standing.delete(`${number}`)
  }

  #warn(text: string): void {
    this.#context.log.warn(text, { connection: this.#context.connection })
  }
}

function markedFor(held: Held, readers: ReadonlySet<MqttFrom>): Held {
  const served = new Set([...held.served, ...[...readers].map(({ topic }) => filterOf(topic))])
  return { ...held, isMarked: true, served: [...served] }
}

const isWanted = ({ givenUpAt }: Held): boolean => givenUpAt === undefined
const isToLeave = ({ givenUpAt, isGone }: Held): boolean => givenUpAt !== undefined && !isGone

function qosOf(wanted: readonly Wanted[]): Map<string, Qos> {
  return new Map(wanted.map(({ filter, qos }) => [filter, qos]))
}

function split<T>(all: readonly T[], holds: (each: T) => boolean): [T[], T[]] {
  return [all.filter(holds), all.filter((each) => !holds(each))]
}

const intersecting = ([one, other]: readonly [string, string]) =>
  `${one} and ${other} intersect: from a broker that sends a copy for each, messages of both arrive twice; MQTT 5 tells copies apart by subscription identifiers, which this connection has not`

const unknownSession = (clientId: string) =>
  `the broker has kept a session of client ${clientId} that the store does not remember: what it may be subscribed to beside the routes of today comes as well, and may arrive twice; another \`clientId\` begins a new session`

const lostSession = (clientId: string) =>
  `the broker has not kept the session of client ${clientId}: what was published while the gateway was away is lost`

const stillThere = (filter: string, refusal: string) =>
  `the broker has not unsubscribed from ${filter}, which no route reads any more (${refusal}): until it does, messages of other routes may arrive twice`

const otherSession = (clientId: string, filters: readonly string[]) =>
  `the broker may still keep the session of client ${clientId}, which nobody reads any more: messages for ${filters.join(', ')} gather there until it expires; end it at the broker`
