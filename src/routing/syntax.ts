import { Environment } from '@marcbachmann/cel-js'
import { fieldNames, fieldTypes } from './fields.ts'
import { functionRows } from './functions.ts'
import { functionHint, nameHint, namespaceHint, tokenHint } from './hints.ts'
import { RuleError } from './rule-error.ts'
import { presenceMacro, rewriteWords } from './words.ts'

/** A node of the library's syntax tree; `args` as its operator has it. */
export interface Node {
  readonly op: string
  readonly args: unknown
  readonly start: number
  readonly end: number
}

/** A parsed and type-checked expression. */
export interface Syntax {
  readonly root: Node
  /** CEL's name of the result's type; `dyn` where only a message can tell. */
  readonly type: string
  /** A mistake at one node, placed in the author's text. */
  errorAt(node: Node, message: string, hint?: string): RuleError
  /** What the author wrote for it. */
  textOf(node: Node): string
}

const plain = makeEnvironment([])
/** With more names than the fields. */
const environments = new Map<string, Environment>()
/** Those an author may call; the library's optional values are not among them. */
const functionNames: ReadonlySet<string> = new Set(functionRows.map(({ name }) => name))

function environmentWith(names: readonly string[]): Environment {
  if (names.length === 0) return plain
  const key = names.join()
  const environment = environments.get(key) ?? makeEnvironment(names)
  environments.set(key, environment)
  return environment
}

function makeEnvironment(names: readonly string[]): Environment {
  const made = new Environment({
    unlistedVariablesAreDyn: false,
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 2_000, maxDepth: 100 },
  })
  for (const name of fieldNames) made.registerVariable(name, fieldTypes[name])
  for (const name of names) made.registerVariable(name, 'dyn')
  // only the types matter: the operators themselves are in values.ts
  const unused = () => undefined
  for (const operator of ['+', '-', '*', '/', '%']) {
    made.registerOperator(`int ${operator} double: double`, unused)
    made.registerOperator(`double ${operator} int: double`, unused)
  }
  made.registerOperator('double % double', unused)
  made.registerOperator('int == double: bool', unused)
  for (const type of ['string', 'dyn']) made.registerOperator(`${type} == null: bool`, unused)
  made.registerFunction('matches(string, string): bool', unused)
  for (const signature of functionRows.flatMap(({ signatures = [] }) => signatures)) {
    made.registerFunction(signature, unused)
  }
  made.registerFunction(`${presenceMacro}(ast): bool`, presence)
  return made
}

/** What the library hands to a macro. */
interface MacroCall {
  readonly args: readonly [Node]
}
interface TypeChecker {
  check(node: Node, context: unknown): unknown
  getType(name: string): unknown
}

function presence({ args: [field] }: MacroCall) {
  const typeCheck = (checker: TypeChecker, _macro: unknown, context: unknown) => {
    checker.check(field, context)
    return checker.getType('bool')
  }
  return { typeCheck, evaluate: () => undefined }
}

/** What a text may refer to, see `Scope`; `captures` are for hints. */
interface Names {
  readonly captures: ReadonlySet<string>
  readonly names?: ReadonlyMap<string, unknown> | undefined
}

/** Parses and checks an expression. Throws RuleError. */
export function parseExpression(text: string, { captures, names = new Map() }: Names): Syntax {
  const rewritten = rewriteWords(text)
  const place = (range: { start: number; end: number }) => rewritten.originOf(range.start, range.end)
  try {
    const parsed = environmentWith([...names.keys()]).parse(rewritten.text)
    const checked = parsed.check()
    if (!checked.valid) throw checked.error
    return {
      root: parsed.ast as Node,
      type: checked.type ?? 'dyn',
      errorAt: (node, message, hint) => new RuleError(message, { ...place(node), hint }),
      textOf(node) {
        const { offset, length } = place(node)
        return text.slice(offset, offset + length)
      },
    }
  } catch (error) {
    throw ruleErrorOf(error, { text, captures, place })
  }
}

/** What the library's errors carry. */
interface Complaint {
  readonly code: string
  readonly summary: string
  readonly range?: { readonly start: number; readonly end: number }
}

interface Written {
  readonly text: string
  readonly captures: ReadonlySet<string>
  readonly place: (range: { start: number; end: number }) => { offset: number; length: number }
}

function ruleErrorOf(error: unknown, { text, captures, place }: Written): RuleError {
  const { code, summary, range } = error as Partial<Complaint>
  if (code === undefined || summary === undefined) throw error
  const { offset, length } = place(range ?? { start: 0, end: text.length })
  const at = { offset: Math.min(offset, text.length), length: Math.min(length, text.length - offset) }
  const shown = text.slice(at.offset, at.offset + at.length)
  if (code === 'unknown_variable') {
    const called = /^\.(\w+)\(/.exec(text.slice(at.offset + at.length))?.[1]
    const hint = (called && namespaceHint(shown, called, functionNames)) ?? nameHint(shown, captures)
    return new RuleError(`unknown name '${shown}'`, { ...at, hint })
  }
  const call = /^found no matching overload for '((?:.*\.)?(\w+)\(.*\))'$/.exec(summary)
  if (call !== null) return callError(call[1] ?? '', call[2] ?? '', at)
  return new RuleError(plainly(summary, code, shown), { ...at, hint: tokenHint(shown) })
}

function callError(call: string, name: string, at: { offset: number; length: number }): RuleError {
  if (functionNames.has(name)) return new RuleError(`'${name}' cannot take these types: ${call}`, at)
  return new RuleError(`no such function: ${name}`, { ...at, hint: functionHint(name, functionNames) })
}

/** The library's complaint in our words. */
function plainly(summary: string, code: string, shown: string): string {
  if (code === 'limit_exceeded') return summary.includes('Depth') ? 'nested too deeply' : 'the expression is too long'
  if (/^(Unexpected token|Expected)\b/.test(summary) && shown === '') return 'the expression ends too early'
  if (/^Unexpected (token|character)\b/.test(summary)) return `unexpected '${shown}'`
  return summary
    .replace('no such overload', 'no such operation')
    .replace(/^[A-Z](?=[a-z])/, (first) => first.toLowerCase())
}
