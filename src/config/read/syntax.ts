import { type Document, isCollection, isNode, isScalar, visit, type YAMLParseError } from 'yaml'
import type { Problem } from '../report/diagnostic.ts'

/**
 * What the YAML parser found, in the words of someone who writes configurations. Every double key is told; of the other
 * mistakes only the first, for those after it are mostly its echo.
 */
export function syntaxProblems(document: Document.Parsed, text: string): Problem[] {
  const doubleKeys = document.errors.filter((error) => error.code === 'DUPLICATE_KEY')
  const first = document.errors.find((error) => error.code !== 'DUPLICATE_KEY')
  if (first !== undefined) return [describe(first, document, text)]
  return doubleKeys.map((error) => describeDoubleKey(error, text))
}

function describeDoubleKey(error: YAMLParseError, text: string): Problem {
  const offset = error.pos[0]
  const key = /^[^\s:]+/.exec(text.slice(offset))?.[0] ?? ''
  return { code: 'TRV1003', message: `key \`${key}\` appears twice`, offset, length: Math.max(1, key.length) }
}

function describe(error: YAMLParseError, document: Document.Parsed, text: string): Problem {
  const [reported, end] = error.pos
  const start = reported + (/^ *(?=\S)/.exec(text.slice(reported, lineEndAfter(text, reported)))?.[0].length ?? 0)
  const place = { offset: start, length: Math.max(1, Math.min(end, lineEndAfter(text, start)) - start) }
  if (error.code === 'TAB_AS_INDENT') {
    const help = 'YAML does not allow tabs at the start of a line; use spaces'
    return { code: 'TRV1002', message: 'a tab is used for indentation', help, ...place }
  }
  const open = openingOf(error, document, text)
  if (open !== undefined) {
    const character = text[open] ?? ''
    const isCut = /^[^\n]*\s#/.test(text.slice(open)) // what closes it may stand in the comment
    const help = isCut ? commentHelp : `close it with ${closings[character] ?? 'the same quote'}`
    return { code: 'TRV1001', message: `this \`${character}\` is never closed`, help, offset: open, length: 1 }
  }
  const known = explanations.find(({ applies }) => applies(error, text))
  return { code: 'TRV1001', message: lowerFirst(withoutSource(error.message)), ...known?.say, ...place }
}

interface Explanation {
  readonly applies: (error: YAMLParseError, text: string) => boolean
  readonly say: { readonly message: string; readonly help?: string }
}

const explanations: readonly Explanation[] = [
  {
    applies: ({ code, pos }, text) => code === 'UNEXPECTED_TOKEN' && text[pos[0]] === '{',
    say: { message: 'unexpected `{` in the middle of a value', help: 'quote text that contains braces' },
  },
  {
    applies: ({ code, message }) => code === 'UNEXPECTED_TOKEN' && message.endsWith('at node end'),
    say: {
      message: 'unexpected text after a complete value',
      help: `quote all of it: "{site}/telemetry", or '"a" == payload.b'`,
    },
  },
  {
    applies: ({ code, message }) => code === 'UNEXPECTED_TOKEN' && message.startsWith('Block scalar header'),
    say: {
      message: 'unexpected text after `|` or `>`',
      help: 'quote the value, or start its text on the next line',
    },
  },
  {
    applies: ({ code }) => code === 'TAG_RESOLVE_FAILED' || code === 'BAD_DIRECTIVE',
    say: { message: 'a value cannot start with this character', help: 'quote the value' },
  },
  {
    applies: ({ code }) => code === 'BLOCK_AS_IMPLICIT_KEY',
    say: {
      message: 'a second `key: value` inside a value',
      help: 'quote a value that contains a colon, or start a new line at the right indentation',
    },
  },
  {
    applies: ({ code, message }) => code === 'MISSING_CHAR' && message.startsWith('Implicit map keys'),
    say: { message: 'a key is not followed by a colon', help: 'write `key: value`' },
  },
  {
    applies: ({ code, message }) => code === 'MISSING_CHAR' && message.startsWith('Sequence item'),
    say: {
      message: 'this line is not indented like its neighbours',
      help: 'keys of one mapping start in the same column; list items start with `- `',
    },
  },
  {
    applies: ({ code, message }) => code === 'BAD_ALIAS' && message.includes('empty'),
    say: { message: 'a value cannot start with this character', help: 'quote the value' },
  },
  {
    applies: ({ code }) => code === 'BAD_SCALAR_START',
    say: { message: 'a value cannot start with this character', help: 'quote the value' },
  },
  {
    applies: ({ code }) => code === 'MULTIPLE_DOCS',
    say: { message: 'a second YAML document starts here', help: 'one file holds one configuration: remove `---`' },
  },
  {
    applies: ({ code }) => code === 'BAD_DQ_ESCAPE',
    say: {
      message: 'unknown escape sequence',
      help: 'double the backslash, or use single quotes, where a backslash is literal',
    },
  },
]

export const commentHelp = 'a `#` after a space starts a comment: quote the text, e.g. "#"'

const closings: Readonly<Record<string, string>> = { '{': '`}`', '[': '`]`' }

/** The parser complains where it gave up; what helps is where the quote or bracket was opened. */
function openingOf(error: YAMLParseError, document: Document.Parsed, text: string): number | undefined {
  const isQuote = error.message.startsWith('Missing closing')
  if (!isQuote && !/^Flow (map|seq)/.test(error.message)) return undefined
  let offset: number | undefined
  visit(document, (_key, node) => {
    if (!isNode(node)) return
    const [start = 0, end = 0] = node.range ?? []
    const isClosed = /[\]}]/.test(text[end - 1] ?? '')
    const isMeant = isQuote
      ? isScalar(node) && node.type?.startsWith('QUOTE_')
      : isCollection(node) && node.flow && !isClosed
    if (isMeant && start < error.pos[0] && end >= error.pos[0] - 1) offset = start
  })
  return offset
}

function lineEndAfter(text: string, offset: number): number {
  const end = text.indexOf('\n', offset)
  return end < 0 ? text.length : end
}

/** The parser quotes what it could not read, which may be a secret: the excerpt shows it, or hides it. */
function withoutSource(message: string): string {
  return message.replace(/: .*$/s, '')
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
