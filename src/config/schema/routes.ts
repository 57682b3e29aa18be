import { z } from 'zod'
import type { AnyProtocol } from '../../adapter/protocol.ts'
import { nearestName } from '../../routing/nearest.ts'
import type { Connections, RouteDraft, Scene, TargetDraft } from '../checks/scene.ts'
import type { Path } from '../report/diagnostic.ts'
import { suggestKey } from '../report/schema-problems.ts'
import { describePlace, describeValue } from '../report/where.ts'
import { asMapping, parsePart, reportSettings } from './parts.ts'
import { fromKeys, routeOwn, targetKeys } from './schema.ts'
import type { FilterClause, RouteConfig } from './types.ts'

const fromOwn = z.strictObject(fromKeys)
const targetOwn = z.strictObject(targetKeys)
const partsOfProtocols = ['from', 'to', 'deadLetter']

/** Reads `routes`; each part by the schema of the protocol it concerns. */
export function readRoutes(scene: Scene, connections: Connections): RouteDraft[] {
  const { routes } = scene.root
  if (routes === undefined) return []
  if (!Array.isArray(routes)) {
    const help = 'begin each route with `- name: …`'
    scene.report.add('TRV2003', '`routes`: expected a list', { path: ['routes'], on: 'value' }, { help })
    return []
  }
  const drafts = routes.flatMap((value, index) => readRoute(scene, connections, ['routes', index], value) ?? [])
  checkNames(scene, drafts)
  return drafts
}

function readRoute(scene: Scene, connections: Connections, path: Path, value: unknown): RouteDraft | undefined {
  const raw = asMapping(scene, path, value)
  if (raw === undefined) return undefined
  const { from, to, deadLetter, ...rest } = raw
  const place = { path, root: scene.root, siblings: partsOfProtocols }
  const own = scene.report.parse(routeOwn, rest, place)
  checkPresence(scene, path, raw)
  const source = from === undefined ? undefined : readFrom(scene, connections, [...path, 'from'], from)
  const targets = asTargets(scene, path, to).map((target, index) =>
    readTarget(scene, connections, [...path, 'to', index], target),
  )
  const dead =
    deadLetter === undefined ? undefined : readTarget(scene, connections, [...path, 'deadLetter'], deadLetter)
  if (raw.deduplicate !== undefined && raw.acknowledge === 'delivered') reportContradiction(scene, path)

  const configs = targets.map((target) => target.config)
  const isComplete = own && source?.config && configs.length > 0 && configs.every((config) => config !== undefined)
  const config =
    isComplete && (!dead || dead.config)
      ? buildRoute(own, source.protocol, { from: source.config, to: configs, deadLetter: dead?.config })
      : undefined
  return {
    path,
    raw,
    fromProtocol: source?.protocol,
    from: source?.config,
    targets: [...targets, ...(dead ? [dead] : [])].map(({ draft }) => draft),
    config,
  }
}

function buildRoute(
  own: z.infer<typeof routeOwn>,
  protocol: AnyProtocol | undefined,
  { from, to, deadLetter }: Pick<RouteConfig, 'from' | 'to' | 'deadLetter'>,
): RouteConfig {
  const usual = own.deduplicate === undefined ? protocol?.source?.defaultAcknowledge : 'stored'
  return {
    name: own.name,
    from,
    filter: own.filter as FilterClause[],
    when: own.when,
    set: new Map(Object.entries(own.set)),
    match: own.match,
    order: own.order,
    to,
    acknowledge: own.acknowledge ?? usual ?? 'delivered',
    deduplicate: own.deduplicate && deduplicateOf(own.deduplicate),
    retry: { attempts: own.retry.attempts, delayMs: own.retry.delay, maxDelayMs: own.retry.maxDelay },
    deadLetter,
  }
}

function deduplicateOf({ window: windowMs, by, scope }: NonNullable<z.infer<typeof routeOwn>['deduplicate']>) {
  return { windowMs, by, scope }
}

function readFrom(scene: Scene, connections: Connections, path: Path, value: unknown) {
  const raw = asMapping(scene, path, value)
  if (raw === undefined) return undefined
  const protocol = namedProtocol(scene, connections, path, raw.connection)
  const { common, own } = parsePart(scene, path, raw, {
    common: fromOwn,
    own: protocol?.source?.schema,
    possible: protocol ? [] : [...scene.protocols.values()].flatMap((one) => one.source?.schema ?? []),
  })
  if (protocol !== undefined && protocol.source === undefined) {
    const message = `${describePlace(path, scene.root)}: ${protocol.name} cannot be read from`
    scene.report.add('TRV2010', message, { path: [...path, 'connection'], on: 'value' })
  }
  if (own === undefined || common === undefined) return { protocol, config: undefined }
  const settings = connections.valid.get(common.connection)?.settings
  const problems = settings === undefined ? [] : protocol?.source?.check?.(own, settings)
  if (!reportSettings(scene, path, problems ?? [])) return { protocol, config: undefined }
  const { connection } = common
  const format = common.format ?? connections.valid.get(connection)?.format
  return { protocol, config: { connection, protocol: protocol?.name ?? '', format, settings: own } }
}

function readTarget(scene: Scene, connections: Connections, path: Path, value: unknown) {
  const raw = asMapping(scene, path, value) ?? {}
  const protocol = namedProtocol(scene, connections, path, raw.connection)
  const draft: TargetDraft = { path, raw, protocol, isDeadLetter: path.at(-1) === 'deadLetter' }
  if (raw !== value) return { draft, config: undefined }
  const { common, own } = parsePart(scene, path, raw, {
    common: targetOwn,
    own: protocol?.sink?.schema,
    possible: protocol ? [] : [...scene.protocols.values()].flatMap((one) => one.sink?.schema ?? []),
  })
  if (protocol !== undefined && protocol.sink === undefined) {
    const message = `${describePlace(path, scene.root)}: ${protocol.name} cannot be sent to`
    scene.report.add('TRV2011', message, { path: [...path, 'connection'], on: 'value' })
  }
  if (own === undefined || common === undefined) return { draft, config: undefined }
  const settings = connections.valid.get(common.connection)?.settings
  const problems = settings === undefined ? [] : protocol?.sink?.check?.(own, settings)
  if (!reportSettings(scene, path, problems ?? [])) return { draft, config: undefined }
  const { connection, when, allow, maxDestinations: most } = common
  const maxDestinations = most && { count: most.count, withinMs: most.within, onLimit: most.onLimit }
  const format = common.format ?? connections.valid.get(connection)?.format
  return {
    draft,
    config: { connection, protocol: protocol?.name ?? '', when, format, allow, maxDestinations, settings: own },
  }
}

/** The protocol of the connection a part names; reports a name that does not exist. */
function namedProtocol(scene: Scene, connections: Connections, path: Path, name: unknown): AnyProtocol | undefined {
  if (typeof name !== 'string') return undefined // the schema says so
  if (connections.names.includes(name)) return connections.protocolOf(name)
  const details = { suggestion: nearestName(name, connections.names), allowed: connections.names }
  scene.report.add('TRV2007', `unknown connection \`${name}\``, { path: [...path, 'connection'], on: 'value' }, details)
  return undefined
}

/** `from` and `to` must be there, unless a key that is there looks like them. */
function checkPresence({ report, root }: Scene, path: Path, raw: Record<string, unknown>): void {
  const known = [...Object.keys(routeOwn.shape), ...partsOfProtocols]
  const unknown = Object.keys(raw).filter((key) => !known.includes(key))
  const meant = new Set(unknown.map((key) => suggestKey(key, known, raw)))
  const route = describePlace(path, root)
  if (!Object.hasOwn(raw, 'from') && !meant.has('from')) {
    const help = 'say where it reads: `from: { connection: … }`'
    report.add('TRV2002', `missing key \`from\` in ${route}`, { path, on: 'key' }, { help })
  }
  if (!Object.hasOwn(raw, 'to') && !meant.has('to')) reportNoTarget(report, path, route)
}

const targetHelp = 'say where it sends: `to: [{ connection: … }]`'

function reportNoTarget(report: Scene['report'], path: Path, route: string): void {
  report.add('TRV2009', `${route} has no target`, { path, on: 'key' }, { help: targetHelp })
}

function asTargets({ report, root }: Scene, path: Path, to: unknown): readonly unknown[] {
  if (Array.isArray(to) && to.length > 0) return to
  const full = [...path, 'to']
  if (to === null || Array.isArray(to)) reportNoTarget(report, full, describePlace(path, root))
  else if (to !== undefined) {
    const message = `${describeValue(full, root)}: expected a list of targets`
    report.add('TRV2003', message, { path: full, on: 'value' }, { help: 'begin each target with `- connection: …`' })
  }
  return []
}

function checkNames({ report, document }: Scene, drafts: readonly RouteDraft[]): void {
  const seen = new Map<string, Path>()
  for (const { raw, path } of drafts) {
    if (typeof raw.name !== 'string') continue
    const place = [...path, 'name']
    const first = seen.get(raw.name)
    if (first === undefined) seen.set(raw.name, place)
    else {
      const { line } = document.positionOf(document.spanOf(first, 'value').offset)
      const message = `a route named \`${raw.name}\` is there already, in line ${line}`
      report.add('TRV2008', message, { path: place, on: 'value' })
    }
  }
}

/** What was seen is known from the store alone: a message that is not stored is not remembered across a crash. */
function reportContradiction({ report, root }: Scene, path: Path): void {
  const message = `${describePlace(path, root)}: \`deduplicate\` cannot hold across a crash with \`acknowledge: delivered\``
  const help = 'leave `acknowledge` out, or use `acknowledge: stored`'
  report.add('TRV2014', message, { path: [...path, 'acknowledge'], on: 'value' }, { help })
}
