import { Environment, type ParseResult } from '@marcbachmann/cel-js'
import { charge, chargeText } from './meter.ts'

/**
 * CEL's rarer operations (times, durations, conversions, bytes) as the library does them: one small expression per
 * operation, asked with the operands as variables. Its errors become undefined, as everywhere in the rules.
 */
export type Operation = (operands: readonly unknown[]) => unknown

const names = ['a0', 'a1', 'a2', 'a3', 'a4'] as const
export const maxOperands = names.length
const environment = new Environment({ unlistedVariablesAreDyn: false, homogeneousAggregateLiterals: false })
for (const name of names) environment.registerVariable(name, 'dyn')

const costOfCall = 20
/** The library throws, with a stack. */
const costOfFailure = 1_000
/** Of a time in a zone, which the library asks the locale for. */
const costOfZone = 4_000

/** `write` makes the expression's text from the operands' names. */
export function libraryOperation(write: (names: readonly string[]) => string): Operation {
  const ask = environment.parse(write(names))
  return (operands) => {
    chargeOperands(operands)
    const answer = tryAsk(ask, operands)
    if (answer !== undefined) return answer
    const whole = operands.map((operand) => (Number.isSafeInteger(operand) ? BigInt(operand as number) : operand))
    return whole.some((operand, index) => operand !== operands[index]) ? tryAsk(ask, whole) : undefined
  }
}

function chargeOperands(operands: readonly unknown[]): void {
  charge(costOfCall)
  for (const operand of operands) {
    if (typeof operand === 'string') chargeText(operand.length)
    else if (operand instanceof Uint8Array) chargeText(operand.length)
    else if (operand instanceof Date && operands.length > 1 && typeof operands[1] === 'string') charge(costOfZone)
  }
}

function tryAsk(ask: ParseResult, operands: readonly unknown[]): unknown {
  const context: Record<string, unknown> = {}
  for (const [index, name] of names.entries()) context[name] = plainBytes(operands[index])
  try {
    const answer: unknown = ask(context)
    return answer
  } catch {
    charge(costOfFailure)
    return undefined
  }
}

/** The library knows Uint8Array, not Node's Buffer. */
function plainBytes(value: unknown): unknown {
  return value instanceof Uint8Array && value.constructor !== Uint8Array
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : (value ?? null)
}
