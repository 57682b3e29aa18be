const maxShortStringBytes = 255 // AMQP 0-9-1, 4.2.5.3

/**
 * Makes a message's value one word of a routing key or name: `.`, the wildcards and control characters are written as
 * `%2E`; two values never give the same word, and none is empty. Lone surrogates would be lost in UTF-8.
 */
export function encodeWord(value: string): string {
  if (value === '') return '%-'
  return needsEncoding.test(value) ? value.replaceAll(special, encodeCharacter) : value
}

/** What is wrong with a rendered routing key, exchange or queue name, or undefined. */
export function shortStringProblem(text: string, minLength: number): string | undefined {
  if (text.length < minLength) return 'it is empty'
  if (Buffer.byteLength(text) > maxShortStringBytes) return `it is longer than ${maxShortStringBytes} bytes`
  return control.test(text) ? 'it holds a control character' : undefined
}

const needsEncoding = /[%.*#\p{Cc}\p{Cs}]/u
const special = /[%.*#\p{Cc}\p{Cs}]/gu
const control = /[\p{Cc}\p{Cs}]/u

function encodeCharacter(character: string): string {
  const code = character.charCodeAt(0).toString(16).toUpperCase()
  return code.length > 2 ? `%u${code}` : `%${code.padStart(2, '0')}`
}
