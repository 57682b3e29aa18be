import { createHash } from 'node:crypto'
import type { AnyProtocol } from '../adapter/protocol.ts'
import type { DestinationSettings, TargetConfig } from '../config/schema/types.ts'
import { PermanentError, RetryableError } from '../errors.ts'
import { isPattern } from '../routing/allow.ts'

/** Of a target that does not say: more than a plant has topics, and few enough for a broker to bear. */
const usual: DestinationSettings = { count: 1_000, withinMs: 24 * 3_600_000, onLimit: 'deadLetter' }
/** Longer names are remembered by their digest: what is remembered takes up no more than its number says. */
const longestName = 64
/** When a destination was last used is noted no more exactly than that, in milliseconds. */
const exactMs = 500
/** Destinations that were not used for long enough are looked for this often at most, in milliseconds. */
const lookMs = 1_000

/** How many different destinations the messages of one target have lately had: a sender must not make topics without end. */
export class DestinationLimit {
  readonly #settings: DestinationSettings
  readonly #nameOf: (target: unknown) => string
  /** When each was last used, of `performance.now()`. */
  readonly #usedMs = new Map<string, number>()
  #lookedMs = Number.NEGATIVE_INFINITY

  constructor(settings: DestinationSettings, nameOf: (target: unknown) => string) {
    this.#settings = settings
    this.#nameOf = nameOf
  }

  /** What is wrong with sending to this destination too; undefined: it may be sent to. */
  problemOf(target: unknown, nowMs: number): RetryableError | PermanentError | undefined {
    const name = this.#nameOf(target)
    const key = name.length <= longestName ? name : createHash('sha256').update(name).digest('base64')
    const { count, onLimit } = this.#settings
    const usedMs = this.#usedMs.get(key)
    if (usedMs !== undefined && nowMs - usedMs < exactMs) return undefined // nearly always
    if (usedMs !== undefined || this.#usedMs.size < count || this.#forgetOld(nowMs)) {
      this.#usedMs.set(key, nowMs)
      return undefined
    }
    const shown = name.length <= 200 ? name : `${name.slice(0, 200)}…`
    const text = `'${shown}' would be one destination more than the ${count} of its target: name them in \`allow\`, or raise \`maxDestinations\``
    return onLimit === 'wait'
      ? new RetryableError('DESTINATION_LIMIT', text)
      : new PermanentError('DESTINATION_LIMIT', text)
  }

  /** True when there is room again. */
  #forgetOld(nowMs: number): boolean {
    if (nowMs - this.#lookedMs < lookMs) return false
    this.#lookedMs = nowMs
    for (const [key, usedMs] of this.#usedMs) {
      if (nowMs - usedMs >= this.#settings.withinMs) this.#usedMs.delete(key)
    }
    return this.#usedMs.size < this.#settings.count
  }
}

/**
 * The limit of a target whose destinations messages choose. One that does not set any has it where the broker keeps something
 * for each new destination, unless `allow` names them all.
 */
export function destinationLimitOf(target: TargetConfig, { sink }: AnyProtocol): DestinationLimit | undefined {
  const { settings, allow, maxDestinations, isAddressed } = target
  if (isAddressed) return sink?.lasting && new DestinationLimit(usual, (filled) => sink.lasting?.(filled) ?? '')
  if (sink === undefined || !isChosenByMessages(settings, Object.keys(sink.destinations))) return undefined
  if (maxDestinations !== undefined) {
    return new DestinationLimit(maxDestinations, (filled) => sink.lasting?.(filled) ?? sink.address(filled))
  }
  const isNamed = allow !== undefined && !allow.some(isPattern)
  if (isNamed || sink.lasting?.(settings) === undefined) return undefined
  return new DestinationLimit(usual, (filled) => sink.lasting?.(filled) ?? '')
}

function isChosenByMessages(settings: unknown, keys: readonly string[]): boolean {
  return keys.some((key) => String((settings as Record<string, unknown>)[key] ?? '').includes('{'))
}
