import { createHash } from 'node:crypto'
import type { Read } from './fields.ts'
import { libraryOperation } from './library.ts'
import { listFunctions } from './lists.ts'
import { chargeCopy, chargeText } from './meter.ts'
import * as numbers from './numbers.ts'
import { type Code, noSubject, strict, strictUnary } from './operators.ts'
import { compileRegex } from './regex.ts'
import type { Subject } from './subject.ts'
import * as texts from './texts.ts'

/** A function's call: `size(x)` and `x.size()` differ in `hasReceiver` only. */
export interface Call {
  readonly name: string
  readonly operands: readonly Code[]
  readonly hasReceiver: boolean
}

type Operation = (...operands: readonly unknown[]) => unknown

/** Functions that give true or false, of two texts. */
const tests: Readonly<Record<string, (text: string, part: string) => boolean>> = {
  contains(text, part) {
    texts.chargeSearch(text)
    return text.includes(part)
  },
  startsWith(text, part) {
    chargeCopy(part.length)
    return text.startsWith(part)
  },
  endsWith(text, part) {
    chargeCopy(part.length)
    return text.endsWith(part)
  },
}

export const isTestCall = (name: string): boolean => name === 'matches' || Object.hasOwn(tests, name)

/** The functions that are done here: what the library has not, or does at a cost that hostile data could choose. Undefined: ask it. */
const own: Readonly<Record<string, Operation>> = {
  size(value) {
    const size = texts.sizeOf(value)
    return size === undefined ? undefined : BigInt(size)
  },
  round: (value, digits) => numbers.round(value, digits),
  floor: numbers.floor,
  ceil: numbers.ceil,
  abs: numbers.abs,
  replace: (text, old, next, limit) =>
    isText(text) && isText(old) && isText(next) && isCount(limit)
      ? texts.replaceText(text, old, next, countOf(limit))
      : undefined,
  split: (text, separator, limit) =>
    isText(text) && isText(separator) && isCount(limit) ? texts.splitText(text, separator, countOf(limit)) : undefined,
  join: (list, separator) =>
    Array.isArray(list) && (separator === undefined || isText(separator))
      ? texts.joinTexts(list, separator)
      : undefined,
  base64: (value) => (isText(value) || value instanceof Uint8Array ? texts.base64Of(value) : undefined),
  json: (value) => (value instanceof Uint8Array ? texts.jsonOfBytes(value) : undefined),
  ...listFunctions,
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isCount = (value: unknown): boolean => value === undefined || typeof value === 'bigint' || Number.isInteger(value)
const countOf = (value: unknown): number | undefined => (value === undefined ? undefined : Number(value))

/** What the library is asked only where that holds. */
const guards: Readonly<Record<string, (first: unknown, second: unknown) => boolean>> = {
  duration: (text) => !isText(text) || text.length <= texts.maxDurationLength,
  indexOf(text) {
    if (isText(text)) texts.chargeSearch(text)
    return true
  },
  lastIndexOf(text, part) {
    if (isText(text) && isText(part)) texts.chargeBackwards(text, part)
    return true
  },
}

/** Of the message itself; the same however often it is decided upon. */
const ofMessage: Readonly<Record<string, Read>> = {
  now: (subject) => new Date(subject.receivedAt),
  uuid: (subject) => uuidOf(subject),
}

export const isOfMessage = (name: string): boolean => Object.hasOwn(ofMessage, name)

/** Throws Error where the call can never succeed. */
export function callOf(call: Call): Read {
  const { name, operands, hasReceiver } = call
  const [first, second] = operands
  if (first === undefined) return ofMessage[name] ?? byLibrary(call)
  if (name === 'matches' && second !== undefined) return matches(first.run, second)
  if (name === 'string' && operands.length === 1) return toText(first.run)
  if (name === 'dyn') return first.run
  const test = hasReceiver && operands.length === 2 && Object.hasOwn(tests, name) ? tests[name] : undefined
  if (test !== undefined && second !== undefined) {
    return strict(first.run, second.run, (a, b) => (isText(a) && isText(b) ? test(a, b) : undefined))
  }
  const operation = Object.hasOwn(own, name) ? own[name] : undefined
  return operation === undefined ? byLibrary(call) : onValues(operands, (values) => operation(...values))
}

function onValues(operands: readonly Code[], operation: (values: readonly unknown[]) => unknown): Read {
  return (subject) => {
    const values = operands.map((operand) => operand.run(subject))
    return values.includes(undefined) ? undefined : operation(values)
  }
}

function matches(text: Read, pattern: Code): Read {
  const source = pattern.isConstant ? pattern.run(noSubject) : undefined
  // one taken from a message could be made costly
  if (typeof source !== 'string') throw new Error('the pattern must be a string literal')
  const search = compileRegex(source)
  return strictUnary(text, (value) => (isText(value) ? search(value) : undefined))
}

function toText(value: Read): Read {
  const rare = libraryOperation(([operand]) => `string(${operand})`)
  return strictUnary(value, (given) =>
    isText(given) ? given : Number.isFinite(given) ? `${given as number}` : rare([given]),
  )
}

function byLibrary({ name, operands, hasReceiver }: Call): Read {
  const operation = libraryOperation((names) => {
    const [receiver, ...rest] = names.slice(0, operands.length)
    return hasReceiver ? `${receiver}.${name}(${rest.join(', ')})` : `${name}(${[receiver, ...rest].join(', ')})`
  })
  const guard = Object.hasOwn(guards, name) ? guards[name] : undefined
  if (guard === undefined) return onValues(operands, operation)
  return onValues(operands, (values) => (guard(values[0], values[1]) ? operation(values) : undefined))
}

/** Namespace of the ids that `uuid()` gives, RFC 9562, 5.5. */
const namespace = Buffer.from('8a1c7f0e3d2b5e64a9f04b7c61d8e235', 'hex')

/** A UUIDv5 of the message's id and where it came from. */
function uuidOf({ envelope: { messageId, source } }: Subject): string {
  chargeText(messageId.length + source.length)
  const hash = createHash('sha1').update(namespace).update(`${source}\n${messageId}`).digest()
  hash[6] = ((hash[6] as number) & 0x0f) | 0x50
  hash[8] = ((hash[8] as number) & 0x3f) | 0x80
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
