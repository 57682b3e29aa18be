/** Text of others, safe to show: what controls a terminal, turns the direction of text or ends a line is written out. */

const unsafe = /[\p{Cc}\p{Bidi_Control}\p{Cs}\u2028\u2029\ufeff]/gu
const unsafeButLines = /(?![\n\t])[\p{Cc}\p{Bidi_Control}\p{Cs}\u2028\u2029\ufeff]/gu

const written = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`

/** On one line: `\u001b` in place of such a character. */
export const visible = (text: string): string => text.replaceAll(unsafe, written)

/** The same, but lines and tabs stay. */
export const visibleLines = (text: string): string => text.replaceAll(unsafeButLines, written)
