/** Everything the router would refuse, found when the file is read: each rule is compiled by the router's own functions. */
import type { AddressPattern, DestinationKind } from '../../adapter/protocol.ts'
import { messageOf } from '../../errors.ts'
import { compileAllow } from '../../routing/allow.ts'
import { compileCondition, compileValue, type Scope } from '../../routing/expression.ts'
import { ClauseError, compileClause } from '../../routing/filter.ts'
import { compileIdentity } from '../../routing/identity.ts'
import { compilePattern } from '../../routing/pattern.ts'
import { requestNames, resultNames } from '../../routing/request.ts'
import { RuleError } from '../../routing/rule-error.ts'
import { compileDestination, compileTemplate, IllegalError, UnboundedError } from '../../routing/template.ts'
import { compileTransform, SetError } from '../../routing/transform.ts'
import type { DiagnosticCode } from '../report/codes.ts'
import type { Path } from '../report/diagnostic.ts'
import { describePlace, describeValue, valueAt } from '../report/where.ts'
import { isMapping, type RouteDraft, type Scene, type TargetDraft } from '../schema/scene.ts'
import { destinationsIn } from '../schema/schema.ts'
import { type FilterClause, filterOperators } from '../schema/types.ts'

/** Checks the rules of a route, also of one whose shape is wrong elsewhere. False when its address patterns are wrong. */
export function checkRules(scene: Scene, draft: RouteDraft): boolean {
  const captures = capturesOf(scene, draft)
  // where `from` is wrong every name is taken for captured: nobody knows better
  const { path, raw } = draft
  const isConversation = raw.request !== undefined || raw.scatter !== undefined
  const names = isConversation ? requestNames : undefined
  const scope: Scope = { captures: captures ?? namesUsed(draft.raw), names }
  checkText(scene, [...path, 'when'], raw.when, { code: 'TRV3001', compile: (text) => compileCondition(text, scope) })
  checkSet(scene, [...path, 'set'], raw.set, scope)
  const by = isMapping(raw.deduplicate) ? raw.deduplicate.by : undefined
  checkText(scene, [...path, 'deduplicate', 'by'], by, {
    code: 'TRV3001',
    compile: (text) => compileIdentity(text, scope),
  })
  checkFilter(scene, [...path, 'filter'], raw.filter, scope)
  for (const target of draft.targets) checkTarget(scene, target, scope)
  if (isConversation) checkConversation(scene, draft, scope)
  return captures !== undefined
}

/** What is said of its replies. */
function checkConversation(scene: Scene, { path, raw, reply }: RouteDraft, scope: Scope): void {
  const { request, scatter } = raw
  const captures = reply && (capturesOf(scene, reply) ?? namesUsed(reply.raw))
  const ofReply: Scope = { ...scope, captures: new Set([...scope.captures, ...(captures ?? [])]) }
  if (isMapping(request) && isMapping(request.reply)) {
    const place = [...path, 'request', 'reply']
    checkSet(scene, [...place, 'set'], request.reply.set, ofReply)
    const compile = (text: string) => compileValue(text, { captures: captures ?? new Set() })
    checkText(scene, [...place, 'correlation'], request.reply.correlation, { code: 'TRV3001', compile })
  }
  if (!isMapping(scatter)) return
  const compile = (text: string) => compileValue(text, { ...scope, names: resultNames })
  checkText(scene, [...path, 'scatter', 'aggregate'], scatter.aggregate, { code: 'TRV3001', compile })
}

/** Names the patterns of `from` capture; undefined where `from` is wrong. */
function capturesOf(scene: Scene, draft: NonNullable<RouteDraft['reply']>): Set<string> | undefined {
  const source = draft.fromProtocol?.source
  if (source === undefined || draft.from === undefined) return undefined
  const { settings } = draft.from
  const subject = source.subjectPattern?.(settings)
  const patterns = [...source.patterns(settings), ...(subject ? [subject] : [])]
  const path = [...draft.path, ...(draft.path.at(-1) === 'reply' ? [] : ['from'])] // a reply's own keys stand beside those
  const compiled = patterns.map((pattern) => compileIn(scene, path, draft.raw.from, pattern))
  if (compiled.includes(undefined)) return undefined
  return new Set(compiled.flatMap((pattern) => pattern?.captures ?? []))
}

function namesUsed(raw: unknown): Set<string> {
  return new Set(Array.from(JSON.stringify(raw).matchAll(/\bparams\.(\w+)/g), ([, name = '']) => name))
}

function compileIn(scene: Scene, path: Path, from: unknown, pattern: AddressPattern) {
  const place = [...path, ...(pathOfText(from, pattern.text) ?? [])]
  return attempt(scene, place, { code: 'TRV3002', text: '' }, () => compilePattern(pattern))
}

/** Where in a value a text stands. */
function pathOfText(value: unknown, text: string): Path | undefined {
  if (value === text) return []
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, inner] of Object.entries(value)) {
    const found = pathOfText(inner, text)
    if (found !== undefined) return [Array.isArray(value) ? Number(key) : key, ...found]
  }
  return undefined
}

function checkSet(scene: Scene, path: Path, set: unknown, scope: Scope): void {
  if (!isMapping(set)) return
  for (const [field, value] of Object.entries(set)) {
    if (typeof value === 'object') continue // the schema says so
    const text = String(value)
    attempt(scene, [...path, field], { code: 'TRV3001', text }, () => compileTransform(new Map([[field, text]]), scope))
  }
}

function checkFilter(scene: Scene, path: Path, filter: unknown, scope: Scope): void {
  if (!Array.isArray(filter)) return
  for (const [index, clause] of filter.entries()) {
    if (!isClause(clause)) continue // the schema says so
    const place = [...path, index]
    const code = clause.operator === 'matches_regex' && typeof clause.value === 'string' ? 'TRV3008' : 'TRV3007'
    attempt(scene, place, { code, text: clause.field }, () => compileClause(clause, scope, { count: 0 }))
  }
}

function isClause(value: unknown): value is FilterClause {
  if (!isMapping(value) || typeof value.field !== 'string') return false
  return filterOperators.some((operator) => operator === value.operator)
}

function checkTarget(scene: Scene, { path, raw, protocol }: TargetDraft, scope: Scope): void {
  checkText(scene, [...path, 'when'], raw.when, { code: 'TRV3001', compile: (text) => compileCondition(text, scope) })
  const sink = protocol?.sink
  if (sink === undefined) return
  for (const [key, kind] of Object.entries(sink.destinations)) {
    checkDestination(scene, [...path, key], { text: raw[key], allow: raw.allow, kind, scope })
  }
  for (const key of sink.plainTemplates) checkPlain(scene, [...path, key], raw[key], scope)
  checkAllowed(scene, path, raw.allow, Object.values(sink.destinations))
}

/** A text, or several, each under a name. */
function checkPlain(scene: Scene, path: Path, text: unknown, scope: Scope): void {
  if (isMapping(text)) {
    for (const [name, each] of Object.entries(text)) checkPlain(scene, [...path, name], each, scope)
    return
  }
  checkText(scene, path, text, { code: 'TRV3003', compile: (written) => compileTemplate(written, scope) })
}

interface Destination {
  readonly text: unknown
  readonly allow: unknown
  readonly kind: DestinationKind
  readonly scope: Scope
}

function checkDestination(scene: Scene, path: Path, { text, allow, kind, scope }: Destination): void {
  const literal = typeof text === 'string' && !/[{}]/.test(text) ? kind.check(text) : undefined
  if (literal !== undefined) {
    const message = `${describeValue(path, scene.root)}: ${literal}`
    scene.report.add('TRV3005', message, { path, on: 'value' })
    return
  }
  const named = allow === undefined ? undefined : new Set<string>() // nothing is rendered here
  checkText(scene, path, text, {
    code: 'TRV3003',
    compile: (written) => compileDestination(written, scope, { kind, allow: named }),
  })
}

/** With several destinations it is not known which one a value is for: it is wrong when none could take it. */
function checkAllowed(scene: Scene, path: Path, allow: unknown, kinds: readonly DestinationKind[]): void {
  for (const { text, at } of entriesOf(allow)) {
    const problems = kinds.map((kind) => kind.check(text.replaceAll('*', 'x')) ?? patternProblem(text, kind))
    if (kinds.length === 0 || problems.includes(undefined)) continue
    const full = [...path, 'allow', ...at]
    scene.report.add('TRV3005', `${describeValue(full, scene.root)}: ${problems[0]}`, { path: full, on: 'value' })
  }
}

/** The entries of `allow`, and where each stands. */
function entriesOf(allow: unknown): { text: string; at: Path }[] {
  if (typeof allow === 'string') return destinationsIn(allow).map((text) => ({ text, at: [] }))
  if (!Array.isArray(allow)) return []
  return allow.flatMap((entry, index) =>
    typeof entry === 'string' ? destinationsIn([entry]).map((text) => ({ text, at: [index] })) : [],
  )
}

function patternProblem(text: string, { separator }: DestinationKind): string | undefined {
  try {
    compileAllow([text], separator)
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}

/** Compiles a text of the file. What is no text is the schema's to complain of. */
function checkText<T>(
  scene: Scene,
  path: Path,
  text: unknown,
  { code, compile }: { code: DiagnosticCode; compile: (text: string) => T },
): T | undefined {
  return typeof text === 'string' && text !== '' ? attempt(scene, path, { code, text }, () => compile(text)) : undefined
}

interface Rule {
  readonly code: DiagnosticCode
  /** What the offsets of an error point into. */
  readonly text: string
}

function attempt<T>(scene: Scene, path: Path, rule: Rule, compile: () => T): T | undefined {
  try {
    return compile()
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    reportRule(scene, path, error, rule)
    return undefined
  }
}

function reportRule({ report, root }: Scene, path: Path, error: RuleError, rule: Rule): void {
  const { message, offset, length, hint: help } = error
  if (error instanceof SetError && error.isPath) {
    return report.add('TRV3009', `${describeValue(path, root)}: ${message}`, { path, on: 'key' }, { help })
  }
  if (error instanceof ClauseError) return reportClause({ report, root }, path, error, rule)
  report.add(codeOf(error, rule), `${describeValue(path, root)}: ${message}`, { path, offset, length }, { help })
}

function codeOf(error: RuleError, rule: Rule): DiagnosticCode {
  if (error instanceof UnboundedError) return 'TRV3004'
  if (error instanceof IllegalError) return 'TRV3005'
  return isCapture(rule.text, error) ? 'TRV3006' : rule.code
}

function reportClause(
  { report, root }: Pick<Scene, 'report' | 'root'>,
  path: Path,
  error: ClauseError,
  rule: Rule,
): void {
  const { setting, message, offset, length, hint: help } = error
  const place = [...path, setting]
  if (valueAt(root, place) === undefined) {
    return report.add(
      'TRV2002',
      `missing key \`${setting}\` in ${describePlace(path, root)}`,
      { path, on: 'key' },
      { help },
    )
  }
  const isField = setting === 'field'
  const code = !isField ? rule.code : isCapture(rule.text, error) ? 'TRV3006' : 'TRV3007'
  const spot = length > 0 ? { path: place, offset, length } : ({ path: place, on: 'value' } as const)
  report.add(code, `${describeValue(place, root)}: ${message}`, spot, { help })
}

/** True when the fault is the name after `params.`. */
function isCapture(text: string, { offset, length }: RuleError): boolean {
  return /^params\b|\bparams\.\w*$/.test(text.slice(Math.max(0, offset - 'params.'.length), offset + length))
}
