import type { RouteConfig } from '../config/schema/types.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { PermanentError } from '../errors.ts'
import { compileValue, tooCostly } from './expression.ts'
import { exhausted, holdBudget, releaseBudget } from './meter.ts'
import { requestNames, resultNames } from './request.ts'
import { scopeOf } from './router.ts'
import type { Params, Subject } from './subject.ts'
import type { ProtocolOf } from './target.ts'
import { textOf } from './template.ts'
import { compileTransform } from './transform.ts'

/** What a route says of its replies. */
export interface CompiledReply {
  /** Which request it is for; undefined: it does not say. Never throws. */
  tokenOf(reply: Subject): string | undefined
  /** What is made of a reply on its way to the asker; `params` are those of its request. Throws PermanentError. */
  change(reply: Subject, params: Params): Envelope
}

/** Compiles it. Throws RuleError; a configuration that was loaded has none left. */
export function compileReply(route: RouteConfig, protocolOf: ProtocolOf): CompiledReply {
  const { from, correlation = '', set = new Map() } = route.request?.reply ?? {}
  const asked = scopeOf(route, protocolOf)
  const heard = from && scopeOf({ from }, protocolOf)
  const identify = heard && compileValue(correlation, heard)
  const captures = new Set([...asked.captures, ...(heard?.captures ?? [])])
  const transform = compileTransform(set, { captures, names: requestNames })
  return {
    tokenOf: (reply) =>
      identify === undefined ? reply.envelope.correlationId : quietly(() => textOf(identify(reply))),
    change(reply, params) {
      const { malformed } = reply.envelope
      if (malformed !== undefined) throw malformed
      const subject = { ...reply, params: { ...params, ...reply.params } }
      return transform === undefined ? reply.envelope : withinBudget(() => transform(subject))
    },
  }
}

/** Makes the answer of a scatter from its result. Throws PermanentError. */
export type Aggregate = (result: Subject) => Envelope

/** Undefined where the whole result is the answer. Throws RuleError. */
export function compileAggregate(route: RouteConfig, protocolOf: ProtocolOf): Aggregate | undefined {
  const text = route.request?.scatter?.aggregate
  if (text === undefined) return undefined
  const scope = { captures: scopeOf(route, protocolOf).captures, names: resultNames }
  const change = compileTransform(new Map([['payload', text]]), scope)
  return change && ((result) => withinBudget(() => change(result)))
}

function withinBudget<T>(work: () => T): T {
  holdBudget()
  try {
    return work()
  } catch (error) {
    if (error === exhausted) throw tooCostly('the rules')
    throw error instanceof PermanentError
      ? error
      : new PermanentError('TRANSFORM_FAILED', String(error), { cause: error })
  } finally {
    releaseBudget()
  }
}

function quietly<T>(work: () => T): T | undefined {
  try {
    return withinBudget(work)
  } catch {
    return undefined
  }
}
