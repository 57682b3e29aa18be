import { isMap, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml'
import { secretPart } from '../../adapter/address.ts'
import type { Path, Problem, SecretText, Span } from '../report/diagnostic.ts'
import type { ReferenceSources } from './references.ts'
import { commentHelp, syntaxProblems } from './syntax.ts'
import { insideScalar, nowhere, type ValuePlace, ValueReader } from './value-reader.ts'

export interface WrittenValue {
  readonly path: Path
  readonly written: string | undefined
  readonly hasReference: boolean
}
export type WrittenText = WrittenValue & { readonly written: string }

/** The YAML text as plain values with references filled in, and the way from each value back to its place. */
export class ConfigDocument {
  /** undefined when the text is no YAML. */
  readonly value: unknown
  readonly problems: readonly Problem[]
  readonly #text: string
  readonly #lines = new LineCounter()
  readonly #root: ValuePlace

  constructor(text: string, sources: ReferenceSources) {
    this.#text = text
    const parsed = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false })
    const syntax = syntaxProblems(parsed, text)
    const reader = new ValueReader(text, sources)
    // after a syntax error the rest of the tree is a guess; a double key leaves it intact
    const isReadable = syntax.every((problem) => problem.code === 'TRV1003')
    const { value, place } = isReadable ? reader.read(parsed.contents, undefined) : { value: undefined, place: nowhere }
    this.value = value
    this.#root = place
    this.problems = [...syntax, ...reader.problems]
  }

  /** Line and column, both from 1. */
  positionOf(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(Math.min(offset, this.#text.length))
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }

  /** Where a value stands, or its key; of what is not there, where it would be missed. */
  spanOf(path: Path, on: 'key' | 'value'): Span {
    const { place, isExact } = this.#nearestPlace(path)
    const node = on === 'key' || !isExact ? (place.key ?? place.node) : place.node
    return this.#spanOfNode(node ?? place.key ?? null)
  }

  /** A part of a text value, given in characters of that value. */
  spanInside(path: Path, offset: number, length: number): Span {
    const { place, isExact } = this.#nearestPlace(path)
    // what was filled in has other lengths than what is written
    if (!isExact || place.written === undefined || place.hasReference) return this.spanOf(path, 'value')
    return insideScalar(place.node as Scalar, place.written, this.#text, { offset, length })
  }

  /** True when the text at `path` was, or holds, a `${…}`. */
  hasReference(path: Path): boolean {
    const { place, isExact } = this.#nearestPlace(path)
    return isExact && place.hasReference === true
  }

  /** True when a reference in it, or anywhere below, could not be filled in: nothing more can be said of such a value. */
  isBroken(path: Path): boolean {
    const { place, isExact } = this.#nearestPlace(path)
    return isExact && holdsBroken(place)
  }

  /** What of a line must not be shown; `secrets` undefined: nobody could look for them. */
  maskOf(line: number, secrets: readonly SecretText[] | undefined): { column: number; length: number }[] {
    const lineStart = this.#lines.lineStarts[line - 1]
    if (lineStart === undefined) return []
    const lineEnd = this.#lines.lineStarts[line] ?? this.#text.length + 1
    if (secrets === undefined) return guessSecrets(this.#text.slice(0, lineEnd - 1))
    return secrets.flatMap(({ path, part }) => {
      const [start, end] = this.#rangeOf(path, part)
      const from = Math.max(start, lineStart)
      const length = Math.min(end, lineEnd - 1) - from
      return length > 0 ? [{ column: from - lineStart + 1, length }] : []
    })
  }

  /** Each text as it is written, before references were filled in. */
  *texts(path: Path = []): Generator<WrittenText> {
    for (const { written, hasReference, ...place } of this.values(path)) {
      if (written !== undefined) yield { ...place, written, hasReference }
    }
  }

  /** The same, and each mapping, list and empty value, whose `written` is undefined. */
  *values(path: Path = []): Generator<WrittenValue> {
    const { place, isExact } = this.#nearestPlace(path)
    if (isExact) yield* valuesBelow(place, path)
  }

  /** What of the syntax of YAML a value began with by mistake, most probably: as a hint where it is of the wrong kind. */
  slipAt(path: Path): string | undefined {
    const { place, isExact } = this.#nearestPlace(path)
    if (!isExact || place.written !== undefined) return undefined
    const start = place.key?.range?.[1]
    if (isFlow(place.node)) return 'quote text that starts with a brace or bracket'
    const isComment = start !== undefined && /^\s*:[ \t]+#/.test(this.#text.slice(start, start + 200))
    return isComment ? commentHelp : undefined
  }

  #rangeOf(path: Path, part: Span | undefined): [number, number] {
    const { place } = this.#nearestPlace(path)
    if (part === undefined || place.written === undefined) return this.#wholeRange(place)
    const { offset, length } = insideScalar(place.node as Scalar, place.written, this.#text, part)
    return [offset, offset + length]
  }

  /** From the key's colon on, with tag and anchor, and with a comment behind it: a `#` may have been meant as text. */
  #wholeRange({ key, node }: ValuePlace): [number, number] {
    const [start = 0, end = 0] = node?.range ?? []
    const colon = key?.range ? this.#text.indexOf(':', key.range[1]) + 1 : start
    const from = colon + (/^ */.exec(this.#text.slice(colon, colon + 80))?.[0].length ?? 0)
    const to = Math.max(end, from)
    const comment = /^[ \t]*#.*/.exec(this.#text.slice(to, to + 2_000))?.[0] ?? ''
    return [key ? from : start, to + comment.length]
  }

  #nearestPlace(path: Path): { place: ValuePlace; isExact: boolean } {
    let place = this.#root
    for (const step of path) {
      const child = place.children.get(String(step))
      if (child === undefined) return { place, isExact: false }
      place = child
    }
    return { place, isExact: true }
  }

  #spanOfNode(node: Node | null): Span {
    const [start = 0, end = 0] = node?.range ?? []
    if (isMap(node) || isSeq(node)) {
      // of a mapping in a list the first key is what the eye finds; of a flow mapping its brace
      const first = isMap(node) && !node.flow ? node.items[0]?.key : undefined
      return first ? this.#spanOfNode(first as Node) : { offset: start, length: 1 }
    }
    const lineEnd = this.#text.indexOf('\n', start)
    return { offset: start, length: Math.max(1, (lineEnd < 0 ? end : Math.min(end, lineEnd)) - start) }
  }
}

/** Where nothing is known of the text but its last line, and how it looks. */
function guessSecrets(text: string): { column: number; length: number }[] {
  const start = text.lastIndexOf('\n') + 1
  const line = text.slice(start)
  const secret = /(?:pass\w*|secret\w*|token\w*)['"]?\s*:\s*(\S.*)$/di.exec(line)?.indices?.[1]
  if (isBelowSecret(text.slice(0, start), line)) return [{ column: 1, length: line.length }]
  const part = secretPart(line)
  return [
    ...(secret ? [{ column: secret[0] + 1, length: secret[1] - secret[0] }] : []),
    ...(part ? [{ column: part.offset + 1, length: part.length }] : []),
  ]
}

/** True for a line that continues a secret of a line above it: one further in, or one that begins no key of its own. */
function isBelowSecret(above: string, line: string): boolean {
  const indent = line.search(/\S/)
  const isKey = /^\s*(- +)?["']?[\w.-]+["']?\s*:(\s|$)/
  const opening = above
    .split('\n')
    .findLast((one) => (isKey.test(line) ? one.search(/\S/) < indent : isKey.test(one)) && one.trim() !== '')
  return opening !== undefined && /(?:pass\w*|secret\w*|token\w*)['"]?\s*:[^{}]*$/i.test(opening)
}

function isFlow(node: Node | null): boolean {
  return (isMap(node) || isSeq(node)) && node.flow === true
}

function holdsBroken(place: ValuePlace): boolean {
  return place.isBroken === true || [...place.children.values()].some(holdsBroken)
}

function* valuesBelow(place: ValuePlace, path: Path): Generator<WrittenValue> {
  const { written, hasReference = false } = place
  yield { path, written, hasReference }
  const isList = isSeq(place.node)
  for (const [key, child] of place.children) yield* valuesBelow(child, [...path, isList ? Number(key) : key])
}
