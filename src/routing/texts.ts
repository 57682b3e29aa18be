/** Functions on text and bytes whose cost depends on what a message holds; charged before they run. Undefined: no such value. */
import { parseJson } from '../envelope/json.ts'
import { charge, chargeText } from './meter.ts'
import { namesOf } from './values.ts'

/** `size(x)`: characters, bytes, elements, names. */
export function sizeOf(value: unknown): number | undefined {
  if (typeof value === 'string') return countCharacters(value)
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length
  const isMap = typeof value === 'object' && value !== null && isPlain(value)
  return isMap ? namesOf(value).length : undefined
}

/** No time, no duration. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

/** A pair of surrogates is one character. */
function countCharacters(text: string): number {
  chargeText(text.length)
  let count = text.length
  for (let index = 1; index < text.length; index += 1) {
    const isLow = (text.charCodeAt(index) & 0xfc00) === 0xdc00
    if (isLow && (text.charCodeAt(index - 1) & 0xfc00) === 0xd800) count -= 1
  }
  return count
}

/** Looking for a text in another: a few nanoseconds a character, whatever stands in them. */
export function chargeSearch(text: string): void {
  charge(text.length >> 2)
}

export function splitText(text: string, separator: string, limit?: number): string[] | undefined {
  charge(text.length >> 1)
  const parts = text.split(separator)
  charge(parts.length)
  if (limit === undefined || limit < 0 || parts.length <= limit) return parts
  if (limit === 0) return []
  return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)]
}

export function joinTexts(list: readonly unknown[], separator = ''): string | undefined {
  for (const item of list) {
    if (typeof item !== 'string') return undefined
    charge(1 + ((item.length + separator.length) >> 3))
  }
  return list.join(separator)
}

export function replaceText(text: string, old: string, next: string, limit = Number.POSITIVE_INFINITY): string {
  chargeSearch(text)
  if (old === '') return text
  const parts: string[] = []
  let from = 0
  let at = text.indexOf(old)
  while (at >= 0 && parts.length < limit) {
    charge(2 + (next.length >> 3))
    parts.push(text.slice(from, at))
    from = at + old.length
    at = text.indexOf(old, from)
  }
  parts.push(text.slice(from))
  return parts.join(next)
}

/** Going backwards the engine compares the whole of it at every place. */
export function chargeBackwards(text: string, part: string): void {
  charge(Math.floor((text.length * part.length) / 32))
}

export function base64Of(value: string | Uint8Array): string {
  chargeText(value.length)
  return Buffer.from(value as Uint8Array).toString('base64')
}

/** What stands in bytes as JSON, numbers included, as in a payload. */
export function jsonOfBytes(bytes: Uint8Array): unknown {
  charge(bytes.length >> 1)
  return parseJson(bytes)
}

/** The longest text that is read as a duration: the library takes its time with longer ones. */
export const maxDurationLength = 64
