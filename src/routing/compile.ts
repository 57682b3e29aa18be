/**
 * Turns a checked syntax tree into closures with CEL's meaning. The library's own evaluator throws an exception where a
 * field is missing, which costs more than the whole message; here undefined runs through the closures instead.
 */
import { elementOf, isFieldName, memberOf, type Read, readField, readHeader } from './fields.ts'
import { libraryOperation, maxOperands } from './library.ts'
import { type CompileBody, compileBind, compileLoop, isLoop, type Meter } from './loops.ts'
import { callOf } from './methods.ts'
import { didYouMean } from './nearest.ts'
import * as operators from './operators.ts'
import { type Code, noSubject } from './operators.ts'
import type { Rests } from './pattern.ts'
import { type Node, parseExpression, type Syntax } from './syntax.ts'
import { type Arithmetic, arithmetic, int64, type Ordering, ordering } from './values.ts'
import { presenceMacro } from './words.ts'

/** What a rule's text may refer to besides the envelope's own fields. */
export interface Scope {
  /** Names of the captures of every address pattern of the route: `params.<name>`. */
  readonly captures: ReadonlySet<string>
  /** Those of several levels, and what parts their levels. */
  readonly rests?: Rests | undefined
}

export interface Compiled extends Code {
  /** CEL's name of the type; `dyn` where only a message can tell. */
  readonly type: string
}

const maxSteps = 100_000

/** Compiles an expression. Throws RuleError. `run` may throw a RangeError on values nested too deeply. */
export function compile(text: string, scope: Scope): Compiled {
  const syntax = parseExpression(text, scope.captures)
  return new Compiler(syntax, scope).compileRoot()
}

const constant = (value: unknown): Code => ({ run: () => value, isConstant: true })
const varying = (run: Read): Code => ({ run, isConstant: false })
const orderings: ReadonlySet<string> = new Set(['<', '<=', '>', '>='])

class Compiler {
  readonly #syntax: Syntax
  readonly #captures: ReadonlySet<string>
  readonly #meter: Meter = { stepsLeft: 0 }
  #hasLoops = false
  /** Variables of the loops around the node at hand. */
  readonly #locals = new Map<string, Read>()

  constructor(syntax: Syntax, scope: Scope) {
    this.#syntax = syntax
    this.#captures = scope.captures
  }

  compileRoot(): Compiled {
    const { root, type } = this.#syntax
    const { run, isConstant } = this.#compile(root)
    if (!this.#hasLoops) return { run, isConstant, type }
    const meter = this.#meter
    const metered: Read = (subject) => {
      meter.stepsLeft = maxSteps
      return run(subject)
    }
    return { run: metered, isConstant, type }
  }

  #compile(node: Node): Code {
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
        return this.#combine([node.args as Node], ([operand]) => operators.not(operand.run))
      case '-_':
        return this.#combine([node.args as Node], ([operand]) => operators.strictUnary(operand.run, negative))
      case '?:':
        return this.#combine(node.args as Node[], ([a, yes, no]) => operators.choose(a.run, yes.run, no.run))
      default:
        return this.#combine(node.args as Node[], ([left, right]) => binary(node.op, left, right))
    }
  }

  /** Code made of parts; computed at once where all parts are constant and the result is no error. */
  #combine(nodes: readonly Node[], make: (parts: [Code, Code, Code]) => Read): Code {
    const parts = nodes.map((node) => this.#compile(node))
    const run = make(parts as [Code, Code, Code])
    const value = parts.every((part) => part.isConstant) ? run(noSubject) : undefined
    return value === undefined ? varying(run) : constant(value)
  }

  #name(name: string): Code {
    const local = this.#locals.get(name)
    if (local !== undefined) return varying(local)
    return isFieldName(name) ? varying(readField(name)) : constant(libraryOperation(() => name)([])) // a type's name
  }

  #access(node: Node): Code {
    const [owner, at] = node.args as [Node, Node | string]
    const name = typeof at === 'string' ? at : at.op === 'value' && typeof at.args === 'string' ? at.args : undefined
    if (name === undefined) {
      const nodes = [owner, at as Node]
      return this.#combine(nodes, ([object, index]) => operators.strict(object.run, index.run, elementOf))
    }
    const known = this.#knownMember(owner, name, node)
    if (known !== undefined) return varying(known)
    return this.#combine([owner], ([object]) => {
      const read = object.run
      return (subject) => memberOf(read(subject), name)
    })
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
    const { run } = this.#compile(args[0] as Node)
    return varying((subject) => run(subject) !== undefined)
  }

  #receiverCall(node: Node): Code {
    const [name, receiver, args] = node.args as [string, Node, Node[]]
    const compileBody: CompileBody = (index, item) =>
      this.#compileWith((args[0] as Node).args as string, item, args[index] as Node)
    if (isLoop(name, args.length)) {
      this.#hasLoops = true
      const items = this.#compile(receiver).run
      return varying(compileLoop({ name, argCount: args.length, items, meter: this.#meter }, compileBody))
    }
    if (name === 'bind' && receiver.op === 'id' && receiver.args === 'cel') {
      return varying(compileBind(this.#compile(args[1] as Node).run, compileBody))
    }
    return this.#function(name, [receiver, ...args], true)
  }

  #function(name: string, operands: readonly Node[], hasReceiver: boolean): Code {
    const last = operands.at(-1) ?? this.#syntax.root
    if (operands.length > maxOperands) throw this.#syntax.errorAt(last, `too many arguments for '${name}'`)
    return this.#combine(operands, (codes) => {
      try {
        return callOf({ name, operands: codes, hasReceiver })
      } catch (error) {
        throw this.#syntax.errorAt(last, (error as Error).message)
      }
    })
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

function binary(operator: string, left: Code, right: Code): Read {
  const a = operators.forComparison(left)
  const b = operators.forComparison(right)
  if (operator === '&&') return operators.and(left.run, right.run)
  if (operator === '||') return operators.or(left.run, right.run)
  if (operator === '==') return operators.equality(a, b)
  if (operator === '!=') return operators.not(operators.equality(a, b))
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
