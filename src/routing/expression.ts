import { PermanentError } from '../errors.ts'
import { compile, type Scope } from './compile.ts'
import type { Read } from './fields.ts'
import { beginEvaluation, exhausted, limits, missed } from './meter.ts'
import { answerOf, noSubject } from './operators.ts'
import { RuleError } from './rule-error.ts'
import type { Subject } from './subject.ts'
import { toData } from './values.ts'

export type { Scope } from './compile.ts'

/** Counts how often a rule met a field that was not there, or of another kind, and the rest did not decide; for the metrics of a route. */
export interface Misses {
  count: number
}

/** True when the rule holds. Throws PermanentError EXPRESSION_BUDGET alone: what cannot be compared, or is not there, does not hold. */
export type Condition = (subject: Subject) => boolean

/**
 * A rule's value, as messages carry values; undefined when a field it needs is not there or it cannot be computed. Throws
 * PermanentError EXPRESSION_BUDGET alone.
 */
export interface Value {
  (subject: Subject): unknown
  /** Why there is no value for this message. */
  why(subject: Subject): string
}

/**
 * Compiles a CEL condition. Throws RuleError. A field that is not there is null: it equals null alone, any other comparison
 * with it is false, and so is one of kinds that do not go together. `misses` grows where that decided.
 */
export function compileCondition(text: string, scope: Scope, misses: Misses = { count: 0 }): Condition {
  const { run, type } = compile(text, scope)
  if (type !== 'bool' && type !== 'dyn') {
    throw new RuleError(`a condition must be a boolean, this is of type ${type}`, {
      offset: 0,
      length: text.length,
    })
  }
  return (subject) => {
    missed.any = false
    const verdict = attempt(run, subject, text)
    const isDecided = typeof verdict === 'boolean'
    if (!isDecided || missed.any) misses.count += 1
    return isDecided && verdict
  }
}

/** Compiles a CEL value. Throws RuleError. */
export function compileValue(text: string, scope: Scope): Value {
  const code = compile(text, scope)
  const run = answerOf(code)
  const read: Read = (subject) => toData(run(subject))
  const value = (subject: Subject) => attempt(read, subject, text)
  const why = (subject: Subject) => String(attempt(code.explain, subject, text) ?? 'it is nested too deeply')
  return Object.assign(value, { why })
}

/** A value that is the same for every message; undefined where it is not, or no value messages can carry. Throws RuleError. */
export function constantOf(text: string, scope: Scope): unknown {
  const { run, isConstant } = compile(text, scope)
  return isConstant ? toData(run(noSubject)) : undefined
}

/** JSON may be nested deeper than the stack. */
function attempt(run: Read, subject: Subject, text: string): unknown {
  beginEvaluation()
  try {
    return run(subject)
  } catch (error) {
    if (error === exhausted) throw tooCostly(`'${text.length > 200 ? `${text.slice(0, 200)}…` : text}'`)
    return undefined
  }
}

/** The end of any evaluation: its message would cost too much. */
export function tooCostly(what: string): PermanentError {
  return new PermanentError('EXPRESSION_BUDGET', `${what} would take more than ${limits} for this message`)
}
