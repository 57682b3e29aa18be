import { type Alias, isAlias, isMap, isScalar, isSeq, type Node, type Scalar, type YAMLMap, type YAMLSeq } from 'yaml'
import type { DiagnosticCode } from './codes.ts'
import { fillReferences, type ReferenceSources } from './references.ts'
import { scalarOffsets } from './scalar-offsets.ts'

/** A stretch of the file, in UTF-16 units. */
export interface Span {
  readonly offset: number
  readonly length: number
}

/** A mistake found while the text became values: its place is known by offset. */
export interface DocumentProblem extends Span {
  readonly code: DiagnosticCode
  readonly message: string
  readonly help?: string
}

/** One value of the file and where it stands. */
export interface Place {
  readonly node: Node | null
  readonly key: Node | undefined
  readonly children: ReadonlyMap<string, Place>
  /** Set on scalars: as written, before references were filled in. */
  readonly written?: string
  readonly hasReference?: boolean
  readonly isBroken?: boolean
}

const none: ReadonlyMap<string, Place> = new Map()
/** The place of what cannot be read. */
export const nowhere: Place = { node: null, key: undefined, children: none }

/** More values than any configuration has: a few aliases of aliases make billions. */
const mostValues = 200_000

/** Turns nodes into values, filling references in. */
export class ValueReader {
  readonly problems: DocumentProblem[] = []
  readonly #text: string
  readonly #sources: ReferenceSources
  readonly #anchors = new Map<string, Node>()
  #read = 0

  constructor(text: string, sources: ReferenceSources) {
    this.#text = text
    this.#sources = sources
  }

  read(node: Node | null, key: Node | undefined): { value: unknown; place: Place } {
    if (++this.#read > mostValues) return this.#tooMuch(node, key)
    if (isAlias(node)) return this.#readAlias(node, key)
    if (node?.anchor) this.#anchors.set(node.anchor, node)
    if (isMap(node)) return this.#readMap(node, key)
    if (isSeq(node)) return this.#readSeq(node, key)
    if (isScalar(node) && typeof node.value === 'string') return this.#readText(node, node.value, key)
    if (!isScalar(node) || node.value === null) return { value: null, place: { node, key, children: none } }
    return { value: node.value, place: { node, key, children: none, written: String(node.value) } }
  }

  #readMap(node: YAMLMap, key: Node | undefined) {
    const children = new Map<string, Place>()
    const value: Record<string, unknown> = Object.create(null) // `__proto__` is a key like any other
    for (const item of node.items) {
      const name = isScalar(item.key) ? String(item.key.value) : String(item.key)
      if (children.has(name)) continue // reported as a double key; the first counts
      const child = this.read(item.value as Node | null, item.key as Node)
      children.set(name, child.place)
      value[name] = child.value
    }
    return { value, place: { node, key, children } }
  }

  #readSeq(node: YAMLSeq, key: Node | undefined) {
    const read = node.items.map((item) => this.read(item as Node | null, undefined))
    const children = new Map(read.map(({ place }, index) => [String(index), place]))
    return { value: read.map(({ value }) => value), place: { node, key, children } }
  }

  #readText(node: Scalar, written: string, key: Node | undefined) {
    const { text, hasReference, problems } = fillReferences(written, this.#sources)
    for (const { offset, length, ...problem } of problems) {
      const span = insideScalar(node, written, this.#text, { offset, length })
      this.problems.push({ ...problem, ...span })
    }
    const isBroken = problems.length > 0
    return { value: text, place: { node, key, children: none, written, hasReference, isBroken } }
  }

  #readAlias(node: Alias, key: Node | undefined) {
    const target = this.#anchors.get(node.source)
    const isWithinItself = target?.range && node.range && target.range[1] >= node.range[1]
    if (target !== undefined && !isWithinItself) {
      const { value, place } = this.read(target, key)
      return { value, place: { ...place, key } }
    }
    this.#report(node, `alias \`*${node.source}\` has no anchor \`&${node.source}\` before it`)
    return { value: undefined, place: { node, key, children: none, isBroken: true } }
  }

  #tooMuch(node: Node | null, key: Node | undefined) {
    if (this.#read === mostValues + 1) this.#report(node, 'aliases unfold to too many values')
    return { value: undefined, place: { node, key, children: none, isBroken: true } }
  }

  #report(node: Node | null, message: string): void {
    const [start = 0, end = 0] = node?.range ?? []
    this.problems.push({ code: 'TRV1009', message, offset: start, length: Math.max(1, end - start) })
  }
}

/** A part of a text value, given in characters of the value. */
export function insideScalar(scalar: Scalar, value: string, file: string, part: Span): Span {
  const offsets = scalarOffsets(scalar, value, file)
  const last = offsets.length - 1
  const start = offsets[Math.min(part.offset, last)] ?? 0
  const end = offsets[Math.min(part.offset + part.length, last)] ?? start
  const lineEnd = file.indexOf('\n', start)
  return { offset: start, length: Math.max(1, (lineEnd < 0 ? end : Math.min(end, lineEnd)) - start) }
}
