import type { Outbound } from '../adapter/contract.ts'
import type { AnyProtocol, DestinationKind } from '../adapter/protocol.ts'
import type { TargetConfig } from '../config/types.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { type Condition, compileCondition, type Misses, type Scope } from './expression.ts'
import { RuleError } from './rule-error.ts'
import type { Subject } from './subject.ts'
import { compileTemplate, invalid, type Template } from './template.ts'

/** A protocol by its name; throws when there is none. */
export type ProtocolOf = (name: string) => AnyProtocol

/** One entry of `to`, or a dead letter target. */
export interface CompiledTarget {
  readonly target: TargetConfig
  /** Whether its `when` holds. Never throws. */
  accepts(subject: Subject): boolean
  /**
   * The target's settings with every template filled in, for the subject's own message or for `envelope` in its stead
   * (a dead letter goes where the message it holds belongs). Throws PermanentError DESTINATION_INVALID.
   */
  outbound(subject: Subject, envelope?: Envelope): Outbound
}

type Render = (subject: Subject) => string
type Settings = Readonly<Record<string, unknown>>

/** Compiles one target. Throws RuleError. */
export function compileTarget(
  target: TargetConfig,
  scope: Scope,
  protocolOf: ProtocolOf,
  misses: Misses = { count: 0 },
): CompiledTarget {
  const settings = target.settings as Settings
  const fixed: Record<string, unknown> = { ...settings }
  const rendered: [string, Render][] = []
  for (const { key, template, allow } of templatesOf(target, scope, protocolOf(target.protocol))) {
    if (template.isLiteral) fixed[key] = template.literalPrefix
    else rendered.push([key, allow === undefined ? (subject) => template.render(subject) : allowed(template, allow)])
  }
  // without templates every message shares one settings object
  const base: Settings = Object.keys(fixed).every((key) => fixed[key] === settings[key])
    ? settings
    : Object.freeze(fixed)
  const fill = rendered.length === 0 ? () => base : (subject: Subject) => fillIn(base, rendered, subject)
  const { format } = target
  return {
    target,
    accepts: compileWhen(target.when, scope, misses),
    outbound: (subject, envelope = subject.envelope) => ({ envelope, target: fill(subject), format }),
  }
}

const always: Condition = () => true

function compileWhen(when: string | undefined, scope: Scope, misses: Misses): Condition {
  return when === undefined ? always : compileCondition(when, scope, misses)
}

interface TemplateOfKey {
  readonly key: string
  readonly template: Template
  /** Set for destinations of a target that names its allowed ones. */
  readonly allow: ReadonlySet<string> | undefined
}

function templatesOf(target: TargetConfig, scope: Scope, protocol: AnyProtocol): TemplateOfKey[] {
  const settings = target.settings as Settings
  const allow = target.allow === undefined ? undefined : new Set(target.allow)
  const found: TemplateOfKey[] = []
  for (const [key, text] of Object.entries(settings)) {
    const kind = kindOf(protocol, key)
    if (typeof text !== 'string' || (kind === undefined && !isPlainTemplate(protocol, key))) continue
    const template = compileTemplate(text, scope, kind)
    if (kind !== undefined) checkDestination(template, { text, allow })
    found.push({ key, template, allow: kind === undefined ? undefined : allow })
  }
  return found
}

function kindOf(protocol: AnyProtocol, key: string): DestinationKind | undefined {
  const destinations = protocol.sink?.destinations
  return destinations !== undefined && Object.hasOwn(destinations, key) ? destinations[key] : undefined
}

const isPlainTemplate = (protocol: AnyProtocol, key: string) => protocol.sink?.plainTemplates.includes(key) ?? false

/** Data must not choose freely where a message goes: the rule for destinations, in one place. */
function checkDestination(
  template: Template,
  { text, allow }: { text: string; allow: ReadonlySet<string> | undefined },
): void {
  if (template.isLiteral || template.literalPrefix !== '' || allow !== undefined) return
  throw new RuleError('a message would choose its destination freely', {
    offset: 0,
    length: text.length,
    hint: "begin with fixed text, or list the permitted destinations under 'allow'",
  })
}

function allowed(template: Template, allow: ReadonlySet<string>): Render {
  return (subject) => {
    const destination = template.render(subject)
    if (allow.has(destination)) return destination
    throw invalid(`'${destination.slice(0, 200)}' is not among the allowed destinations`)
  }
}

function fillIn(base: Settings, rendered: readonly [string, Render][], subject: Subject): Settings {
  const filled: Record<string, unknown> = { ...base }
  for (const [key, render] of rendered) filled[key] = render(subject)
  return filled
}
