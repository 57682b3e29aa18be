import { createHash } from 'node:crypto'
import { compileValue, type Scope } from './expression.ts'
import type { Subject } from './subject.ts'

/** Longer texts are known by their digest. */
const longestText = 200

/** What copies of one message share; undefined where this one has nothing to be known by. */
export type Identity = (subject: Subject) => string | undefined

/** The `messageId`, or the value of an expression: a text is itself, so that it may be another message's `messageId`. Throws RuleError. */
export function compileIdentity(by: string | undefined, scope: Scope): Identity {
  if (by === undefined) return ({ envelope }) => brief(envelope.messageId)
  const value = compileValue(by, scope)
  return (subject) => {
    const text = textOf(value(subject))
    return text === undefined ? undefined : brief(text)
  }
}

/** Values of another kind never have the same text. */
function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null || value === '') return undefined
  return typeof value === 'string' ? value : `\u0001${JSON.stringify(value, plain)}`
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : { int: String(value) }
  return value instanceof Uint8Array ? { bytes: Buffer.from(value).toString('base64') } : value
}

function brief(text: string): string {
  return text.length <= longestText ? text : `\u0001#${createHash('sha256').update(text).digest('base64')}`
}
