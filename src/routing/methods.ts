import type { Read } from './fields.ts'
import { libraryOperation } from './library.ts'
import { type Code, noSubject, strict, strictUnary } from './operators.ts'
import { compileRegex } from './regex.ts'

/** A function's call: `size(x)` and `x.size()` differ in `hasReceiver` only. */
export interface Call {
  readonly name: string
  readonly operands: readonly Code[]
  readonly hasReceiver: boolean
}

/** The functions rules use most, without the library's search for an overload. */
const texts: Readonly<Record<string, (text: string, part: string) => boolean>> = {
  contains: (text, part) => text.includes(part),
  startsWith: (text, part) => text.startsWith(part),
  endsWith: (text, part) => text.endsWith(part),
}

/** Throws Error where the call can never succeed. */
export function callOf(call: Call): Read {
  const { name, operands, hasReceiver } = call
  const [first, second] = operands
  if (name === 'matches' && first !== undefined && second !== undefined) return matches(first.run, second)
  if (name === 'string' && operands.length === 1 && first !== undefined) return toText(first.run)
  if (name === 'dyn' && first !== undefined) return first.run
  const ofTexts = hasReceiver && operands.length === 2 && Object.hasOwn(texts, name) ? texts[name] : undefined
  if (ofTexts !== undefined && first !== undefined && second !== undefined) {
    return strict(first.run, second.run, (a, b) =>
      typeof a === 'string' && typeof b === 'string' ? ofTexts(a, b) : undefined,
    )
  }
  return byLibrary(call)
}

function matches(text: Read, pattern: Code): Read {
  const source = pattern.isConstant ? pattern.run(noSubject) : undefined
  // one taken from a message could be made costly
  if (typeof source !== 'string') throw new Error('the pattern must be a text that does not depend on the message')
  const search = compileRegex(source)
  return strictUnary(text, (value) => (typeof value === 'string' ? search(value) : undefined))
}

function toText(value: Read): Read {
  const rare = libraryOperation(([operand]) => `string(${operand})`)
  return strictUnary(value, (given) =>
    typeof given === 'string' ? given : Number.isFinite(given) ? `${given}` : rare([given]),
  )
}

function byLibrary({ name, operands, hasReceiver }: Call): Read {
  const operation = libraryOperation((names) => {
    const [receiver, ...rest] = names.slice(0, operands.length)
    return hasReceiver ? `${receiver}.${name}(${rest.join(', ')})` : `${name}(${[receiver, ...rest].join(', ')})`
  })
  return (subject) => {
    const values = operands.map((operand) => operand.run(subject))
    return values.includes(undefined) ? undefined : operation(values)
  }
}
