import type { Outbound } from '../adapter/contract.ts'
import type { AnyProtocol, DestinationKind } from '../adapter/protocol.ts'
import type { TargetConfig } from '../config/schema/types.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { addressParam, targetAt } from './addressed.ts'
import { type Allow, compileAllow } from './allow.ts'
import { type Condition, compileCondition, type Misses, type Scope } from './expression.ts'
import type { Subject } from './subject.ts'
import { compileDestination, compileTemplate, type Template } from './template.ts'

/** A protocol by its name; throws when there is none. */
export type ProtocolOf = (name: string) => AnyProtocol

/** One entry of `to`, or a dead letter target. */
export interface CompiledTarget {
  readonly target: TargetConfig
  /** Whether its `when` holds. Never throws. */
  accepts(subject: Subject): boolean
  /** The subject's message and the settings, every template filled in. Throws PermanentError DESTINATION_INVALID. */
  outbound(subject: Subject): Outbound
}

type Render = (subject: Subject) => unknown
type Settings = Readonly<Record<string, unknown>>

/** Compiles one target. Throws RuleError. */
export function compileTarget(
  target: TargetConfig,
  scope: Scope,
  protocolOf: ProtocolOf,
  misses: Misses = { count: 0 },
): CompiledTarget {
  if (target.isAddressed) return addressedTarget(target, protocolOf(target.protocol))
  const settings = target.settings as Settings
  const fixed: Record<string, unknown> = { ...settings }
  const rendered: [string, Render][] = []
  for (const { key, template } of templatesOf(target, scope, protocolOf(target.protocol))) {
    if (template.isLiteral) fixed[key] = template.literalPrefix
    else rendered.push([key, (subject) => template.render(subject)])
  }
  for (const { key, texts } of templateMapsOf(target, scope, protocolOf(target.protocol))) {
    const literal = literalTexts(texts)
    if (literal !== undefined) fixed[key] = literal
    else rendered.push([key, (subject) => mapTexts(texts, (template) => template.render(subject))])
  }
  // without templates every message shares one settings object
  const base: Settings = Object.keys(fixed).every((key) => fixed[key] === settings[key])
    ? settings
    : Object.freeze(fixed)
  const fill = rendered.length === 0 ? () => base : (subject: Subject) => fillIn(base, rendered, subject)
  const { format } = target
  const envelopeOf = format === 'envelope' ? addressed(target, protocolOf(target.protocol)) : ownEnvelope
  return {
    target,
    accepts: compileWhen(target.when, scope, misses),
    outbound: (subject) => {
      const filled = fill(subject)
      return { envelope: envelopeOf(subject, filled), target: filled, format }
    },
  }
}

/** The sender has named the destination. */
function addressedTarget(target: TargetConfig, protocol: AnyProtocol): CompiledTarget {
  const { format } = target
  const envelopeOf = format === 'envelope' ? addressed(target, protocol) : ownEnvelope
  return {
    target,
    accepts: always,
    outbound: (subject) => {
      const filled = targetAt(protocol, subject.params[addressParam] ?? '') as Settings
      return { envelope: envelopeOf(subject, filled), target: filled, format }
    },
  }
}

type EnvelopeOf = (subject: Subject, settings: Settings) => Envelope
const ownEnvelope: EnvelopeOf = ({ envelope }) => envelope

/** In a body that shows all fields, a message whose sender named no destination has the one it is sent to. */
function addressed({ connection }: TargetConfig, { name, sink }: AnyProtocol): EnvelopeOf {
  return ({ envelope }, settings) => {
    if (envelope.destination !== undefined) return envelope
    return envelope.with({ destination: `${name}://${connection}/${sink?.address(settings) ?? ''}` })
  }
}

const always: Condition = () => true

function compileWhen(when: string | undefined, scope: Scope, misses: Misses): Condition {
  return when === undefined ? always : compileCondition(when, scope, misses)
}

interface TemplateOfKey {
  readonly key: string
  readonly template: Template
}

function templatesOf(target: TargetConfig, scope: Scope, protocol: AnyProtocol): TemplateOfKey[] {
  const settings = target.settings as Settings
  const found: TemplateOfKey[] = []
  for (const [key, text] of Object.entries(settings)) {
    const kind = kindOf(protocol, key)
    if (typeof text !== 'string' || (kind === undefined && !isPlainTemplate(protocol, key))) continue
    if (kind === undefined) found.push({ key, template: compileTemplate(text, scope) })
    else found.push({ key, template: compileDestination(text, scope, { kind, allow: allowOf(target, kind) }) })
  }
  return found
}

interface TemplateMap {
  readonly key: string
  readonly texts: Readonly<Record<string, Template>>
}

/** Settings that hold several texts, each under a name: HTTP's `headers`. */
function templateMapsOf({ settings }: TargetConfig, scope: Scope, protocol: AnyProtocol): TemplateMap[] {
  return Object.entries(settings as Settings).flatMap(([key, setting]) =>
    isPlainTemplate(protocol, key) && typeof setting === 'object' && setting !== null
      ? [{ key, texts: mapTexts(setting as Readonly<Record<string, string>>, (text) => compileTemplate(text, scope)) }]
      : [],
  )
}

function literalTexts(texts: TemplateMap['texts']): Readonly<Record<string, string>> | undefined {
  const isLiteral = Object.values(texts).every((template) => template.isLiteral)
  return isLiteral ? mapTexts(texts, (template) => template.literalPrefix) : undefined
}

function mapTexts<From, To>(texts: Readonly<Record<string, From>>, map: (text: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, map(text)]))
}

function allowOf({ allow }: TargetConfig, { separator }: DestinationKind): Allow | undefined {
  return allow && compileAllow(allow, separator)
}

function kindOf(protocol: AnyProtocol, key: string): DestinationKind | undefined {
  const destinations = protocol.sink?.destinations
  return destinations !== undefined && Object.hasOwn(destinations, key) ? destinations[key] : undefined
}

const isPlainTemplate = (protocol: AnyProtocol, key: string) => protocol.sink?.plainTemplates.includes(key) ?? false

function fillIn(base: Settings, rendered: readonly [string, Render][], subject: Subject): Settings {
  const filled: Record<string, unknown> = { ...base }
  for (const [key, render] of rendered) filled[key] = render(subject)
  return filled
}
