/** Why an expression has no value for a message. Runs once it has none, so it may take its time. */
import type { Code } from './operators.ts'
import type { Subject } from './subject.ts'
import type { Node } from './syntax.ts'

interface Asked {
  readonly codes: ReadonlyMap<Node, Code>
  readonly textOf: (node: Node) => string
  readonly subject: Subject
}

/** Names the field that is not there, or those an operation cannot be done with. */
export function reasonWhy(root: Node, asked: Asked): string {
  return culprit(root, asked) ?? 'no message can carry such a value'
}

/** The innermost part that has no value although its own parts have. */
function culprit(node: Node, asked: Asked): string | undefined {
  const code = asked.codes.get(node)
  if (code === undefined || code.isTest === true || code.run(asked.subject) !== undefined) return undefined
  for (const part of partsOf(node, asked)) {
    const reason = culprit(part, asked)
    if (reason !== undefined) return reason
  }
  return code.isField === true && node.op !== '?:' ? `${pathOf(node, asked)} is not there` : cannot(node, asked)
}

function cannot(node: Node, asked: Asked): string {
  const kinds = partsOf(node, asked).flatMap((part) => kindsIn(part, asked))
  const why = kinds.length === 0 ? '' : `: ${[...new Set(kinds)].join(', ')}`
  return `'${shorten(asked.textOf(node))}' cannot be computed${why}`
}

/** What the fields are that it was to be computed with. */
function kindsIn(node: Node, asked: Asked): string[] {
  const code = asked.codes.get(node)
  if (code === undefined) return []
  if (code.isField !== true || node.op === '?:') return partsOf(node, asked).flatMap((part) => kindsIn(part, asked))
  const value = code.run(asked.subject)
  return value === undefined ? [] : [`${pathOf(node, asked)} is ${kindOf(value)}`]
}

/** Its parts; of a choice only the one that was made. */
function partsOf({ op, args }: Node, { codes, subject }: Asked): readonly Node[] {
  if (op === '?:') {
    const [condition, yes, no] = args as [Node, Node, Node]
    return [codes.get(condition)?.run(subject) === true ? yes : no]
  }
  return nodesIn(args)
}

function nodesIn(part: unknown): Node[] {
  if (Array.isArray(part)) return part.flatMap(nodesIn)
  return typeof part === 'object' && part !== null && 'op' in part && 'args' in part ? [part as Node] : []
}

/** As a rule would name it. */
function pathOf(node: Node, asked: Asked): string {
  if (node.op === 'id') return node.args as string
  const [owner, at] = node.args as [Node, Node | string]
  const text = pathOfOwner(owner, asked)
  return typeof at === 'string' ? `${text}.${at}` : `${text}[${asked.textOf(at)}]`
}

function pathOfOwner(node: Node, asked: Asked): string {
  return ['id', '.', '[]'].includes(node.op) ? pathOf(node, asked) : asked.textOf(node)
}

const shorten = (text: string) => (text.length > 200 ? `${text.slice(0, 200)}…` : text)

function kindOf(value: unknown): string {
  if (typeof value === 'string') return 'a string'
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number'
  if (typeof value === 'boolean') return String(value)
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return value instanceof Uint8Array ? 'bytes' : 'an object'
}
