import { compile, type Scope } from './compile.ts'
import type { Read } from './fields.ts'
import { noSubject } from './operators.ts'
import { RuleError } from './rule-error.ts'
import type { Subject } from './subject.ts'
import { toData } from './values.ts'

export type { Scope } from './compile.ts'

/** Counts the rules that failed to hold only because a field was not there, or had another type; for the metrics of a route. */
export interface Misses {
  count: number
}

/** True when the rule holds. Never throws: what cannot be compared, or is not there, does not hold. */
export type Condition = (subject: Subject) => boolean

/** A rule's value, as messages carry values; undefined when a field it needs is not there or it cannot be computed. Never throws. */
export type Value = (subject: Subject) => unknown

/**
 * Compiles a CEL condition. Throws RuleError. A field that is not there makes its comparison neither true nor false, as
 * CEL's errors are: the rest may still decide, else the condition does not hold and `misses` grows.
 */
export function compileCondition(text: string, scope: Scope, misses: Misses = { count: 0 }): Condition {
  const { run, type } = compile(text, scope)
  if (type !== 'bool' && type !== 'dyn') {
    throw new RuleError(`a condition must be true or false, this is of type ${type}`, {
      offset: 0,
      length: text.length,
    })
  }
  return (subject) => {
    const verdict = attempt(run, subject)
    if (typeof verdict === 'boolean') return verdict
    misses.count += 1
    return false
  }
}

/** Compiles a CEL value. Throws RuleError. */
export function compileValue(text: string, scope: Scope): Value {
  const { run } = compile(text, scope)
  return (subject) => attempt((at) => toData(run(at)), subject)
}

/** A value that is the same for every message; undefined where it is not, or no value messages can carry. Throws RuleError. */
export function constantOf(text: string, scope: Scope): unknown {
  const { run, isConstant } = compile(text, scope)
  return isConstant ? toData(run(noSubject)) : undefined
}

/** JSON may be nested deeper than the stack. */
function attempt(run: Read, subject: Subject): unknown {
  try {
    return run(subject)
  } catch {
    return undefined
  }
}
