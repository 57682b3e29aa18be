import type { Outbound } from '../adapter/contract.ts'
import type { AddressPattern } from '../adapter/protocol.ts'
import type { RouteConfig } from '../config/schema/types.ts'
import { PermanentError } from '../errors.ts'
import { AddressIndex } from './address-index.ts'
import { type Condition, compileCondition, type Misses, type Scope, tooCostly } from './expression.ts'
import { compileFilter } from './filter.ts'
import { compileIdentity } from './identity.ts'
import { exhausted, holdBudget, releaseBudget } from './meter.ts'
import { compilePattern, type Pattern, restsOf } from './pattern.ts'
import { Recent } from './recent.ts'
import { requestNames } from './request.ts'
import type { Params, Subject } from './subject.ts'
import { type CompiledTarget, compileTarget, type ProtocolOf } from './target.ts'
import { compileTransform, type Transform } from './transform.ts'

export { type CompiledTarget, compileTarget, type ProtocolOf } from './target.ts'

/** A message that goes on, and what copies of it share, where the route looks for them. */
export interface Forwarding {
  readonly kind: 'forward'
  /** By a target's place in the route's `to`; undefined where the message does not go there. */
  readonly outbounds: readonly (Outbound | undefined)[]
  /** How many there are. */
  readonly count: number
  readonly identity: string | undefined
}

/** What a route makes of one message. */
export type Decision =
  | { readonly kind: 'filtered'; readonly reason: 'filter' | 'when' | 'no_target' }
  | { readonly kind: 'failed'; readonly error: PermanentError }
  | Forwarding

export interface CompiledRoute {
  readonly route: RouteConfig
  /** Rules that could not hold because a field was not there, since the start. */
  readonly misses: Readonly<Misses>
  /**
   * Judges one message: filter and `when` see it as it came; targets, their `when` and their templates see what `set` made
   * of it. Never throws; a message that fails for one target fails for all, and so does one for which the rules together cost
   * too much.
   */
  decide(subject: Subject): Decision
}

const filtered = (reason: 'filter' | 'when' | 'no_target'): Decision => Object.freeze({ kind: 'filtered', reason })
const byFilter = filtered('filter')
const byWhen = filtered('when')
const byTargets = filtered('no_target')

/** What the rules of a route may refer to. Throws RuleError on a bad address pattern. */
export function scopeOf(route: Pick<RouteConfig, 'from' | 'request'>, protocolOf: ProtocolOf): Scope {
  const { patterns, subject } = patternsOf(route, protocolOf)
  const all = subject === undefined ? patterns : [...patterns, subject]
  const names = route.request && requestNames
  return { names, captures: new Set(all.flatMap((pattern) => compilePattern(pattern).captures)), rests: restsOf(all) }
}

/** Compiles a route. Throws RuleError; a configuration that was loaded has none left. */
export function compileRoute(route: RouteConfig, protocolOf: ProtocolOf): CompiledRoute {
  const scope = scopeOf(route, protocolOf)
  const misses: Misses = { count: 0 }
  const passes = compileFilter(route.filter, scope, misses)
  const holds: Condition = route.when === undefined ? () => true : compileCondition(route.when, scope, misses)
  const transform = compileTransform(route.set, scope)
  const identify = route.deduplicate && compileIdentity(route.deduplicate.by, scope)
  const targets = route.to.map((target) => compileTarget(target, scope, protocolOf, misses))
  const judge = (subject: Subject): Decision => {
    if (!passes(subject)) return byFilter
    if (!holds(subject)) return byWhen
    const outbounds = outboundsOf(transformed(subject, transform), targets, route.match)
    const count = countOf(outbounds)
    return count === 0 ? byTargets : { kind: 'forward', outbounds, count, identity: identify?.(subject) }
  }
  return {
    route,
    misses,
    decide(subject) {
      const { malformed } = subject.envelope
      if (malformed !== undefined) return { kind: 'failed', error: malformed }
      holdBudget()
      try {
        return judge(subject)
      } catch (error) {
        return { kind: 'failed', error: permanent(error) }
      } finally {
        releaseBudget()
      }
    },
  }
}

function transformed(subject: Subject, transform: Transform | undefined): Subject {
  if (transform === undefined) return subject
  const { params, receivedAt } = subject
  return { envelope: transform(subject), params, receivedAt }
}

/** By place of target. */
function outboundsOf(
  subject: Subject,
  targets: readonly CompiledTarget[],
  match: RouteConfig['match'],
): (Outbound | undefined)[] {
  const outbounds = new Array<Outbound | undefined>(targets.length) // one that grows takes room for 17
  for (let index = 0; index < targets.length; index += 1) {
    const target = targets[index] as CompiledTarget
    const outbound = target.accepts(subject) ? target.outbound(subject) : undefined
    outbounds[index] = outbound
    if (outbound !== undefined && match === 'first') break
  }
  return outbounds
}

function countOf(outbounds: readonly (Outbound | undefined)[]): number {
  let count = 0
  for (const outbound of outbounds) if (outbound !== undefined) count += 1
  return count
}

function permanent(error: unknown): PermanentError {
  if (error === exhausted) return tooCostly('the rules')
  return error instanceof PermanentError
    ? error
    : new PermanentError('TRANSFORM_FAILED', String(error), { cause: error })
}

/** One route that reads an address, with what the address captured. */
export interface RouteMatch {
  readonly route: CompiledRoute
  readonly params: Params
}

interface Reader {
  readonly route: CompiledRoute
  readonly subject: Pattern | undefined
}

/** The routes of one source: which of them a message's address concerns. */
export class Router {
  readonly #index: AddressIndex<Reader>
  readonly #hasSubjects: boolean
  /** Where no subject counts. */
  readonly #recent = new Recent<readonly RouteMatch[]>()
  readonly #find = (address: string) => this.#matches(address)

  /** Throws RuleError on a bad pattern. */
  constructor(routes: readonly CompiledRoute[], protocolOf: ProtocolOf) {
    const entries = routes.flatMap((route) => {
      const { patterns, subject } = patternsOf(route.route, protocolOf)
      const reader: Reader = { route, subject: subject === undefined ? undefined : compilePattern(subject) }
      return patterns.map((pattern) => ({ pattern, value: reader }))
    })
    this.#index = new AddressIndex(entries)
    this.#hasSubjects = entries.some(({ value }) => value.subject !== undefined)
  }

  /** The routes that read this address, in the order of the configuration; a route once, by its first pattern that matches. */
  lookup(address: string, subject?: string): readonly RouteMatch[] {
    return this.#hasSubjects ? this.#matches(address, subject) : this.#recent.get(address, this.#find)
  }

  #matches(address: string, subject?: string): readonly RouteMatch[] {
    const matches: RouteMatch[] = []
    for (const { value, params } of this.#index.lookup(address)) {
      if (matches.at(-1)?.route === value.route) continue // the patterns of a route stand side by side
      matches.push({ route: value.route, params: withSubject(params, value.subject, subject) })
    }
    return matches
  }
}

function withSubject(params: Params, pattern: Pattern | undefined, subject: string | undefined): Params {
  const captured = subject === undefined ? undefined : pattern?.match(subject)
  return captured === undefined ? params : { ...params, ...captured }
}

function patternsOf(
  { from }: Pick<RouteConfig, 'from'>,
  protocolOf: ProtocolOf,
): { patterns: readonly AddressPattern[]; subject: AddressPattern | undefined } {
  const source = protocolOf(from.protocol).source
  return { patterns: source?.patterns(from.settings) ?? [], subject: source?.subjectPattern?.(from.settings) }
}
