/** The ends of a route: `from`, `to` and `deadLetter`, each by the schema of the protocol its connection names. */
import { z } from 'zod'
import type { AnyProtocol } from '../../adapter/protocol.ts'
import type { Format } from '../../envelope/envelope.ts'
import { nearestName } from '../../routing/nearest.ts'
import type { DiagnosticCode } from '../report/codes.ts'
import type { Path } from '../report/diagnostic.ts'
import { describePlace } from '../report/where.ts'
import { asMapping, parsePart, reportSettings } from './parts.ts'
import type { LinkedScene, TargetDraft } from './scene.ts'
import { fromKeys, targetKeys } from './schema.ts'
import type { RouteConfig, TargetConfig } from './types.ts'

export interface FromRead {
  readonly protocol: AnyProtocol | undefined
  /** Set when nothing of it is wrong. */
  readonly config: RouteConfig['from'] | undefined
}

export interface TargetRead {
  readonly draft: TargetDraft
  readonly config: TargetConfig | undefined
}

export function readFrom(scene: LinkedScene, path: Path, value: unknown): FromRead | undefined {
  const raw = asMapping(scene, path, value)
  if (raw === undefined) return undefined
  const protocol = namedProtocol(scene, path, raw.connection)
  return { protocol, config: readEnd(scene, path, { raw, protocol }, from)?.config }
}

export function readTarget(scene: LinkedScene, path: Path, value: unknown): TargetRead {
  const raw = asMapping(scene, path, value) ?? {}
  const protocol = namedProtocol(scene, path, raw.connection)
  const draft: TargetDraft = { path, raw, protocol, isDeadLetter: path.at(-1) === 'deadLetter' }
  if (raw !== value) return { draft, config: undefined }
  const read = readEnd(scene, path, { raw, protocol }, target)
  if (read === undefined) return { draft, config: undefined }
  const { when, allow, maxDestinations: most } = read.common
  const maxDestinations = most && { count: most.count, withinMs: most.within, onLimit: most.onLimit }
  return { draft, config: { ...read.config, when, allow, maxDestinations } }
}

/** What tells the two kinds of ends apart. */
interface EndKind<Common> {
  readonly common: z.ZodType<Common>
  readonly of: (protocol: AnyProtocol) => AnyProtocol['source'] | AnyProtocol['sink']
  readonly cannot: { readonly code: DiagnosticCode; readonly be: string }
}

const from: EndKind<z.infer<z.ZodObject<typeof fromKeys>>> = {
  common: z.strictObject(fromKeys),
  of: ({ source }) => source,
  cannot: { code: 'TRV2010', be: 'read from' },
}

const target: EndKind<z.infer<z.ZodObject<typeof targetKeys>>> = {
  common: z.strictObject(targetKeys),
  of: ({ sink }) => sink,
  cannot: { code: 'TRV2011', be: 'sent to' },
}

interface WrittenEnd {
  readonly raw: Record<string, unknown>
  readonly protocol: AnyProtocol | undefined
}

/** Undefined after reporting what is wrong. */
function readEnd<Common extends { readonly connection: string; readonly format?: Format | undefined }>(
  scene: LinkedScene,
  path: Path,
  { raw, protocol }: WrittenEnd,
  end: EndKind<Common>,
) {
  const side = protocol && end.of(protocol)
  const isNamed = scene.connections.names.includes(String(raw.connection)) // its protocol is unknown, and that has been told
  const judges = protocol || isNamed ? [] : [...scene.protocols.values()]
  const possible = judges.flatMap((one) => end.of(one)?.schema ?? [])
  const { common, own } = parsePart(scene, path, raw, { common: end.common, own: side?.schema, possible })
  if (protocol !== undefined && side === undefined) {
    const message = `${describePlace(path, scene.root)}: ${protocol.name} cannot be ${end.cannot.be}`
    scene.report.add(end.cannot.code, message, { path: [...path, 'connection'], on: 'value' })
  }
  if (protocol === undefined || own === undefined || common === undefined) return undefined
  const connection = scene.connections.valid.get(common.connection)
  const problems = connection && side?.check?.(own, connection.settings)
  if (!reportSettings(scene, path, problems ?? [])) return undefined
  const format = common.format ?? connection?.format
  return { common, config: { connection: common.connection, protocol: protocol.name, format, settings: own } }
}

/** The protocol of the connection an end names; reports a name that does not exist. */
function namedProtocol({ report, connections }: LinkedScene, path: Path, name: unknown): AnyProtocol | undefined {
  if (typeof name !== 'string') return undefined // the schema says so
  if (connections.names.includes(name)) return connections.protocolOf(name)
  const details = { suggestion: nearestName(name, connections.names), allowed: connections.names }
  report.add('TRV2007', `unknown connection \`${name}\``, { path: [...path, 'connection'], on: 'value' }, details)
  return undefined
}
