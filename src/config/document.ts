import { isMap, isSeq, LineCounter, type Node, parseDocument, type Scalar } from 'yaml'
import type { Path } from './diagnostic.ts'
import type { ReferenceSources } from './references.ts'
import { type SyntaxProblem, syntaxProblems } from './syntax.ts'
import { type DocumentProblem, insideScalar, nowhere, type Place, type Span, ValueReader } from './value-reader.ts'

/** A secret text of the file, or the part of a text that is secret. */
export interface SecretText {
  readonly path: Path
  /** Set where only a part is secret, in characters of the text. */
  readonly part?: Span
}

/** The YAML text as plain values with references filled in, and the way from each value back to its place. */
export class ConfigDocument {
  /** undefined when the text is no YAML. */
  readonly value: unknown
  readonly problems: readonly DocumentProblem[]
  readonly #text: string
  readonly #lines = new LineCounter()
  readonly #root: Place

  constructor(text: string, sources: ReferenceSources) {
    this.#text = text
    const parsed = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false })
    const syntax: SyntaxProblem[] = syntaxProblems(parsed, text)
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

  /** What of a line must not be shown. */
  maskOf(line: number, secrets: readonly SecretText[]): { column: number; length: number }[] {
    const lineStart = this.#lines.lineStarts[line - 1]
    if (lineStart === undefined) return []
    const lineEnd = this.#lines.lineStarts[line] ?? this.#text.length + 1
    if (this.value === undefined) return guessSecrets(this.#text.slice(lineStart, lineEnd - 1))
    return secrets.flatMap(({ path, part }) => {
      const [start, end] = this.#rangeOf(path, part)
      const from = Math.max(start, lineStart)
      const length = Math.min(end, lineEnd - 1) - from
      return length > 0 ? [{ column: from - lineStart + 1, length }] : []
    })
  }

  /** Each text as it is written, before references were filled in. */
  *texts(path: Path = []): Generator<{ path: Path; written: string; hasReference: boolean }> {
    const { place, isExact } = this.#nearestPlace(path)
    if (isExact) yield* textsBelow(place, path)
  }

  #rangeOf(path: Path, part: Span | undefined): [number, number] {
    const { place } = this.#nearestPlace(path)
    const [start = 0, end = 0] = place.node?.range ?? []
    if (part === undefined || place.written === undefined) return [start, end]
    const { offset, length } = insideScalar(place.node as Scalar, place.written, this.#text, part)
    return [offset, offset + length]
  }

  #nearestPlace(path: Path): { place: Place; isExact: boolean } {
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

/** Where the text is no YAML, only the look of a line tells. */
function guessSecrets(line: string): { column: number; length: number }[] {
  const found = [/(?:pass\w*|secret|token)['"]?\s*:\s*(\S.*)$/di.exec(line), /:\/\/[^\s/@:]*:([^\s/@]+)@/d.exec(line)]
  return found.flatMap((match) => {
    const [start, end] = match?.indices?.[1] ?? [0, 0]
    return end > start ? [{ column: start + 1, length: end - start }] : []
  })
}

function holdsBroken(place: Place): boolean {
  return place.isBroken === true || [...place.children.values()].some(holdsBroken)
}

function* textsBelow(place: Place, path: Path): Generator<{ path: Path; written: string; hasReference: boolean }> {
  const { written, hasReference = false } = place
  if (written !== undefined) yield { path, written, hasReference }
  for (const [key, child] of place.children) yield* textsBelow(child, [...path, key])
}
