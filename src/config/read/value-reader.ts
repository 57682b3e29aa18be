import { type Alias, isAlias, isMap, isScalar, isSeq, type Node, type Scalar, type YAMLMap, type YAMLSeq } from 'yaml'
import type { Problem, Span } from '../report/diagnostic.ts'
import { fillReferences, type ReferenceSources } from './references.ts'
import { scalarOffsets } from './scalar-offsets.ts'
import { secretName } from './secret-name.ts'

/** One value of the file and where it stands. */
export interface ValuePlace {
  readonly node: Node | null
  readonly key: Node | undefined
  readonly children: ReadonlyMap<string, ValuePlace>
  /** Set on scalars: as written, before references were filled in. */
  readonly written?: string
  readonly hasReference?: boolean
  readonly isBroken?: boolean
}

const none: ReadonlyMap<string, ValuePlace> = new Map()
/** The place of what cannot be read. */
export const nowhere: ValuePlace = { node: null, key: undefined, children: none }

/** More values than any configuration has: a few aliases of aliases make billions. */
const mostValues = 200_000

/** Turns nodes into values, filling references in. */
export class ValueReader {
  readonly problems: Problem[] = []
  readonly #text: string
  readonly #sources: ReferenceSources
  readonly #anchors = new Map<string, Node>()
  #read = 0

  constructor(text: string, sources: ReferenceSources) {
    this.#text = text
    this.#sources = sources
  }

  read(node: Node | null, key: Node | undefined): { value: unknown; place: ValuePlace } {
    if (++this.#read > mostValues) return this.#tooMuch(node, key)
    if (isAlias(node)) return this.#readAlias(node, key)
    if (node?.tag?.startsWith('!')) return this.#refuseTag(node, key)
    if (node?.anchor) this.#anchors.set(node.anchor, node)
    if (isMap(node)) return this.#readMap(node, key)
    if (isSeq(node)) return this.#readSeq(node, key)
    if (isScalar(node) && typeof node.value === 'string') return this.#readText(node, node.value, key)
    if (!isScalar(node) || node.value === null) return { value: null, place: { node, key, children: none } }
    return { value: node.value, place: { node, key, children: none, written: String(node.value) } }
  }

  #readMap(node: YAMLMap, key: Node | undefined) {
    const children = new Map<string, ValuePlace>()
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
      const said = problem.code === 'TRV1008' && mayBeSecret(written, key) ? withoutQuote : problem
      this.problems.push({ ...said, ...span })
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
    const name = mayBeSecret('', key) ? '' : ` \`*${node.source}\``
    const help = 'quote text that starts with `*`'
    this.#report(node, `alias${name} has no anchor${name.replace('*', '&')} before it`, help)
    return { value: undefined, place: { node, key, children: none, isBroken: true } }
  }

  #tooMuch(node: Node | null, key: Node | undefined) {
    if (this.#read === mostValues + 1) this.#report(node, 'aliases expand to too many values')
    return { value: undefined, place: { node, key, children: none, isBroken: true } }
  }

  #report(node: Node | null, message: string, help?: string): void {
    const [start = 0, end = 0] = node?.range ?? []
    const span = { offset: start, length: Math.max(1, end - start) }
    this.problems.push({ code: 'TRV1009', message, ...(help && { help }), ...span })
  }

  /** `when: !payload.done` is a tag to YAML, and an empty value. */
  #refuseTag(node: Node, key: Node | undefined) {
    const [start = 0] = node.range ?? []
    const offset = key?.range ? this.#text.indexOf('!', key.range[1]) : start
    const message = 'YAML reads a value that starts with `!` as a tag'
    this.problems.push({ code: 'TRV1001', message, help: 'quote the value', offset, length: 1 })
    return { value: undefined, place: { node, key, children: none, isBroken: true } }
  }
}

const withoutQuote = { code: 'TRV1008', message: 'this `${…}` is an unknown reference' } as const

function mayBeSecret(written: string, key: Node | undefined): boolean {
  return written.includes('://') || (isScalar(key) && secretName.test(String(key.value)))
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
