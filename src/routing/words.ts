/** What `has` is rewritten to. */
export const presenceMacro = 'present'

/**
 * `AND`, `OR` and `NOT` as CEL writes them. NOT binds as in SQL, looser than a comparison: `NOT a == b` is `!(a == b)`.
 * `has` becomes a macro of ours, since the library's own takes no field without a dot: `has(eventType)`.
 * Every character of the result knows where it came from, so that errors point into the author's text.
 */
export interface Rewritten {
  readonly text: string
  /** Where a range of `text` came from in the original. */
  originOf(start: number, end: number): { offset: number; length: number }
}

const token =
  /[rRbB]?"""(?:\\[\s\S]|(?!""")[\s\S])*"""|[rRbB]?'''(?:\\[\s\S]|(?!''')[\s\S])*'''|[rRbB]?"(?:\\.|[^"\\\n])*"|[rRbB]?'(?:\\.|[^'\\\n])*'|\/\/[^\n]*|\w+|\s+|&&|\|\||[\s\S]/y

/** The tokens of an expression as far as braces, words and strings are concerned; a string is one token. */
export function* tokensOf(text: string, from = 0): Generator<{ text: string; offset: number }> {
  let offset = from
  while (offset < text.length) {
    token.lastIndex = offset
    const found = token.exec(text)?.[0] ?? text.slice(offset, offset + 1)
    yield { text: found, offset }
    offset += found.length
  }
}

/** Rewrites the words outside strings and comments; a field that bears such a name, `payload.OR`, is left alone. */
export function rewriteWords(text: string): Rewritten {
  if (!/\b(?:AND|OR|NOT|has)\b/.test(text))
    return { text, originOf: (offset, end) => ({ offset, length: end - offset }) }
  const writer = new Writer(text)
  let previous = ''
  for (const part of tokensOf(text)) {
    writer.take(part.text, part.offset, previous !== '.')
    if (part.text.trim() !== '') previous = part.text
  }
  return writer.end()
}

const closesNot = new Set(['AND', 'OR', '&&', '||', '?', ':', ',', ')', ']', '}'])

class Writer {
  readonly #original: string
  #text = ''
  /** For each character of the result the range of the original it stands for. */
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  #depth = 0
  /** Depths at which a NOT is open. */
  readonly #nots: number[] = []

  constructor(original: string) {
    this.#original = original
  }

  take(text: string, offset: number, isWord: boolean): void {
    if (isWord && closesNot.has(text)) this.#closeNots(offset)
    if (text === ')' || text === ']' || text === '}') this.#depth -= 1
    if (isWord && text === 'NOT') {
      this.#nots.push(this.#depth)
      this.#replace('!(', offset, 3)
    } else if (isWord && text === 'AND') {
      this.#replace('&&', offset, 3)
    } else if (isWord && text === 'OR') {
      this.#replace('||', offset, 2)
    } else if (isWord && text === 'has') {
      this.#replace(presenceMacro, offset, 3)
    } else {
      for (let index = 0; index < text.length; index += 1)
        this.#put(text.charAt(index), offset + index, offset + index + 1)
    }
    if (text === '(' || text === '[' || text === '{') this.#depth += 1
  }

  end(): Rewritten {
    this.#closeNots(this.#original.length)
    const [starts, ends, length] = [this.#starts, this.#ends, this.#original.length]
    return {
      text: this.#text,
      originOf(start, end) {
        const offset = starts[start] ?? length
        return { offset, length: Math.max(0, (ends[Math.max(start, end - 1)] ?? length) - offset) }
      },
    }
  }

  #closeNots(offset: number): void {
    while (this.#nots.at(-1) === this.#depth) {
      this.#nots.pop()
      this.#put(')', offset, offset)
    }
  }

  #replace(text: string, offset: number, length: number): void {
    for (const char of text) this.#put(char, offset, offset + length)
  }

  #put(char: string, start: number, end: number): void {
    this.#text += char
    this.#starts.push(start)
    this.#ends.push(end)
  }
}
