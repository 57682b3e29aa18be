/**
 * Turns a checked syntax tree into closures with CEL's meaning. The library's own evaluator throws an exception where a
 * field is missing, which costs more than the whole message; here undefined runs through the closures instead.
 */
import { reasonWhy } from './blame.ts'
import { elementOf, isFieldName, memberOf, type Read, readField, readHeader } from './fields.ts'
import { libraryOperation, maxOperands } from './library.ts'
import { type CompileBody, compileBind, compileLoop, isLoop, isTestLoop } from './loops.ts'
import { beginEvaluation } from './meter.ts'
import { callOf, isOfMessage, isTestCall } from './methods.ts'
import { didYouMean } from './nearest.ts'
import * as operators from './operators.ts'
import { type Code, noSubject } from './operators.ts'
import type { Rests } from './pattern.ts'
import type { Subject } from './subject.ts'
import { type Node, parseExpression, type Syntax } from './syntax.ts'
import { type Arithmetic, arithmetic, int64, type Ordering, ordering } from './values.ts'
import { presenceMacro } from './words.ts'

/** What a rule's text may refer to besides the envelope's own fields. */
export interface Scope {
  /** Names of the captures of every address pattern of the route: `params.<name>`. */
  readonly captures: ReadonlySet<string>
  /** Those of several levels, and what parts their levels. */
  readonly rests?: Rests | undefined
  /** Names beside the fields, and what they stand for. */
  readonly names?: ReadonlyMap<string, Read> | undefined
}

export interface Compiled extends Code {
  /** CEL's name of the type; `dyn` where only a message can tell. */
  readonly type: string
  /** Why it has no value for a message: which field is not there, or is of another kind than it needs. */
  explain(subject: Subject): string
}

/** Compiles an expression. Throws RuleError. `run` may throw a RangeError on values nested too deeply. */
export function compile(text: string, scope: Scope): Compiled {
  const syntax = parseExpression(text, scope)
  return new Compiler(syntax, scope).compileRoot()
}

const constant = (value: unknown): Code => ({ run: () => value, isConstant: true })
const varying = (run: Read): Code => ({ run, isConstant: false })
const field = (run: Read): Code => ({ run, isConstant: false, isField: true })
const test = (code: Code): Code => ({ ...code, isTest: true })
const orderings: ReadonlySet<string> = new Set(['<', '<=', '>', '>='])

class Compiler {
  readonly #syntax: Syntax
  readonly #captures: ReadonlySet<string>
  /** For the question why there is no value. */
  readonly #codes = new Map<Node, Code>()
  /** Names of the scope, and variables of the loops around the node at hand. */
  readonly #locals: Map<string, Read>

  constructor(syntax: Syntax, scope: Scope) {
    this.#syntax = syntax
    this.#captures = scope.captures
    this.#locals = new Map(scope.names)
  }

  compileRoot(): Compiled {
    const { root, type, textOf } = this.#syntax
    const codes = this.#codes
    beginEvaluation() // constants are computed
    const explain = (subject: Subject) => reasonWhy(root, { codes, textOf, subject })
    return { ...this.#compile(root), type, explain }
  }

  #compile(node: Node): Code {
    const code = this.#codeOf(node)
    this.#codes.set(node, code)
    return code
  }

  /** Where its value is used: a test has an answer for every message. */
  #value(node: Node): Code {
    const code = this.#compile(node)
    return code.isTest === true ? { ...code, run: operators.answerOf(code) } : code
  }

  #codeOf(node: Node): Code {
    switch (node.op) {
      case 'value':
        return constant(node.args)
      case 'id':
        return this.#name(node.args as string)
      case 'call':
        return this.#call(node)
      case 'rcall':
        return this.#receiverCall(node)
      case '.':
      case '[]':
        return this.#access(node)
      case 'list':
        return this.#combine(node.args as Node[], (items) => operators.listOf(items.map(({ run }) => run)))
      case 'map':
        return this.#combine((node.args as Node[][]).flat(), (parts) => operators.mapOf(parts.map(({ run }) => run)))
      case '!_':
        return this.#test([this.#compile(node.args as Node)], ([operand]) => operators.not(operand.run))
      case '-_':
        return this.#combine([node.args as Node], ([operand]) => operators.strictUnary(operand.run, negative))
      case '?:':
        return this.#choice(node.args as [Node, Node, Node])
      case '&&':
      case '||':
        return this.#test(
          (node.args as Node[]).map((part) => this.#compile(part)),
          ([left, right]) => (node.op === '&&' ? operators.and : operators.or)(left.run, right.run),
        )
      default:
        return this.#binary(node.op, node.args as Node[])
    }
  }

  #binary(operator: string, nodes: readonly Node[]): Code {
    const make = ([left, right]: Parts) => binary(operator, left, right)
    return comparisons.has(operator) ? this.#test(this.#values(nodes), make) : this.#combine(nodes, make)
  }

  #choice([condition, yes, no]: [Node, Node, Node]): Code {
    const parts: Parts = [this.#compile(condition), this.#value(yes), this.#value(no)]
    const code = combined(parts, ([a, b, c]) => operators.choose(a.run, b.run, c.run))
    return { ...code, isField: parts[1].isField === true || parts[2].isField === true }
  }

  #values = (nodes: readonly Node[]): Code[] => nodes.map((node) => this.#value(node))
  #combine = (nodes: readonly Node[], make: (parts: Parts) => Read): Code => combined(this.#values(nodes), make)
  #test = (parts: readonly Code[], make: (parts: Parts) => Read): Code => test(combined(parts, make))

  #name(name: string): Code {
    const local = this.#locals.get(name)
    if (local !== undefined) return field(local)
    return isFieldName(name) ? field(readField(name)) : constant(libraryOperation(() => name)([])) // a type's name
  }

  #access(node: Node): Code {
    const [owner, at] = node.args as [Node, Node | string]
    const name = typeof at === 'string' ? at : at.op === 'value' && typeof at.args === 'string' ? at.args : undefined
    if (name === undefined) {
      const nodes = [owner, at as Node]
      const code = this.#combine(nodes, ([object, index]) => operators.strict(object.run, index.run, elementOf))
      return { ...code, isField: true }
    }
    const known = this.#knownMember(owner, name, node)
    if (known !== undefined) return field(known)
    const code = this.#combine([owner], ([object]) => {
      const read = object.run
      return (subject) => memberOf(read(subject), name)
    })
    return { ...code, isField: true }
  }

  /** A member of `params` or `headers`, read without a detour. */
  #knownMember(owner: Node, name: string, node: Node): Read | undefined {
    if (owner.op !== 'id' || this.#locals.has(owner.args as string)) return undefined
    if (owner.args === 'headers') return readHeader(name)
    if (owner.args !== 'params') return undefined
    if (!this.#captures.has(name)) throw this.#unknownCapture(name, node)
    return (subject) => memberOf(subject.params, name)
  }

  #unknownCapture(name: string, node: Node): Error {
    const captures = [...this.#captures]
    const hint = didYouMean(name, captures) ?? `the address of the route captures ${captures.join(', ') || 'nothing'}`
    const end = typeof (node.args as unknown[])[1] === 'string' ? node.end : node.end - 2 // before `']`
    return this.#syntax.errorAt({ ...node, start: end - name.length, end }, `unknown capture '${name}'`, hint)
  }

  #call(node: Node): Code {
    const [name, args] = node.args as [string, Node[]]
    if (name !== presenceMacro) return this.#function(name, args, false)
    const { run } = this.#value(args[0] as Node)
    return test(varying((subject) => run(subject) !== undefined))
  }

  #receiverCall(node: Node): Code {
    const [name, receiver, args] = node.args as [string, Node, Node[]]
    const compileBody: CompileBody = (index, item) => {
      const body = args[index] as Node
      return { ...this.#compileWith((args[0] as Node).args as string, item, body), weight: weightOf(body) }
    }
    if (isLoop(name, args.length)) {
      const items = this.#value(receiver).run
      const code = varying(compileLoop({ name, argCount: args.length, items }, compileBody))
      return isTestLoop(name) ? test(code) : code
    }
    if (name === 'bind' && receiver.op === 'id' && receiver.args === 'cel') {
      return varying(compileBind(this.#value(args[1] as Node).run, compileBody))
    }
    return this.#function(name, [receiver, ...args], true)
  }

  #function(name: string, operands: readonly Node[], hasReceiver: boolean): Code {
    const last = operands.at(-1) ?? this.#syntax.root
    if (operands.length > maxOperands) throw this.#syntax.errorAt(last, `too many arguments for '${name}'`)
    const codes = this.#values(operands)
    try {
      const run = callOf({ name, operands: codes, hasReceiver })
      const code = isOfMessage(name) ? varying(run) : combined(codes, () => run)
      return isTestCall(name) ? test(code) : code
    } catch (error) {
      throw this.#syntax.errorAt(last, (error as Error).message)
    }
  }

  /** Compiles a loop's body, in which `name` reads what `read` gives. */
  #compileWith(name: string, read: Read, body: Node): Code {
    const outer = this.#locals.get(name)
    this.#locals.set(name, read)
    const code = this.#compile(body)
    if (outer === undefined) this.#locals.delete(name)
    else this.#locals.set(name, outer)
    return code
  }
}

type Parts = [Code, Code, Code]

/** Code made of parts; computed at once where all parts are constant and the result is no error. */
function combined(parts: readonly Code[], make: (parts: Parts) => Read): Code {
  const run = make(parts as Parts)
  const value = parts.every((part) => part.isConstant) ? constantValue(run) : undefined
  return value === undefined ? varying(run) : constant(value)
}

/** What costs too much when it is computed here is left to each message. */
function constantValue(run: Read): unknown {
  try {
    return run(noSubject)
  } catch {
    return undefined
  }
}

/** How many nodes there are: what a step through it costs. */
function weightOf(part: unknown): number {
  if (Array.isArray(part)) return part.reduce((sum: number, each) => sum + weightOf(each), 0)
  const isNode = typeof part === 'object' && part !== null && 'op' in part && 'args' in part
  return isNode ? 1 + weightOf(part.args) : 0
}

const comparisons: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>=', 'in'])

function binary(operator: string, left: Code, right: Code): Read {
  const a = operators.forComparison(left)
  const b = operators.forComparison(right)
  const fields = [left.isField === true, right.isField === true] as const
  if (operator === '==') return operators.equality(a, b, fields)
  if (operator === '!=') return operators.inequality(a, b, fields)
  if (operator === 'in') return operators.membership(left.run, right)
  if (orderings.has(operator)) return operators.strict(a, b, ordering(operator as Ordering))
  const rare = libraryOperation(([x, y]) => `${x} ${operator} ${y}`)
  return operators.strict(
    left.run,
    right.run,
    arithmetic(operator as Arithmetic, (x, y) => rare([x, y])),
  )
}

function negative(value: unknown): unknown {
  if (typeof value === 'number') return -value
  return typeof value === 'bigint' ? int64(-value) : undefined
}
