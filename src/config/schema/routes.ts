import type { z } from 'zod'
import type { AnyProtocol } from '../../adapter/protocol.ts'
import type { Path } from '../report/diagnostic.ts'
import { describePlace, describeValue } from '../report/where.ts'
import { readConversation } from './conversations.ts'
import { readFrom, readTarget } from './ends.ts'
import { parse } from './parse.ts'
import { asMapping } from './parts.ts'
import type { LinkedScene, RouteDraft, Scene } from './scene.ts'
import { routeOwn } from './schema.ts'
import { suggestKey } from './schema-problems.ts'
import type { FilterClause, RouteConfig } from './types.ts'

const partsOfProtocols = ['from', 'to', 'deadLetter', 'request', 'scatter']

/** Reads `routes`; each part by the schema of the protocol it concerns. */
export function readRoutes(scene: LinkedScene): RouteDraft[] {
  const { routes } = scene.root
  if (routes === undefined) return []
  if (!Array.isArray(routes)) {
    const help = 'start each route with `- name: …`'
    scene.report.add('TRV2003', '`routes`: expected a list', { path: ['routes'], on: 'value' }, { help })
    return []
  }
  const drafts = routes.flatMap((value, index) => readRoute(scene, ['routes', index], value) ?? [])
  checkNames(scene, drafts)
  return drafts
}

function readRoute(scene: LinkedScene, path: Path, value: unknown): RouteDraft | undefined {
  const raw = asMapping(scene, path, value)
  if (raw === undefined) return undefined
  const { from, to, deadLetter, request: _request, scatter: _scatter, ...rest } = raw
  const own = parse(scene, routeOwn, rest, { path, siblings: partsOfProtocols })
  checkPresence(scene, path, raw)
  const source = from === undefined ? undefined : readFrom(scene, [...path, 'from'], from)
  const targets = asTargets(scene, path, to).map((target, index) => readTarget(scene, [...path, 'to', index], target))
  const dead = deadLetter === undefined ? undefined : readTarget(scene, [...path, 'deadLetter'], deadLetter)
  const request = readConversation(scene, path, { raw, source, targets })
  if (raw.deduplicate !== undefined && raw.acknowledge === 'delivered') reportContradiction(scene, path)

  const configs = targets.map((target) => target.config)
  const isComplete = own && source?.config && configs.length > 0 && configs.every((config) => config !== undefined)
  const config =
    isComplete && (!dead || dead.config) && (!request || request.config)
      ? buildRoute(own, source.protocol, {
          ...{ from: source.config, to: configs, deadLetter: dead?.config },
          request: request?.config,
        })
      : undefined
  return {
    path,
    raw,
    fromProtocol: source?.protocol,
    from: source?.config,
    targets: [...targets, ...(dead ? [dead] : []), ...(request?.to ? [request.to] : [])].map(({ draft }) => draft),
    reply: request?.reply,
    config,
  }
}

function buildRoute(
  own: z.infer<typeof routeOwn>,
  protocol: AnyProtocol | undefined,
  { from, to, deadLetter, request }: Pick<RouteConfig, 'from' | 'to' | 'deadLetter' | 'request'>,
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
    acknowledge: request ? 'answered' : (own.acknowledge ?? usual ?? 'delivered'),
    request,
    deduplicate: own.deduplicate && deduplicateOf(own.deduplicate),
    retry: { attempts: own.retry.attempts, delayMs: own.retry.delay, maxDelayMs: own.retry.maxDelay },
    deadLetter,
  }
}

function deduplicateOf({ window: windowMs, by, scope }: NonNullable<z.infer<typeof routeOwn>['deduplicate']>) {
  return { windowMs, by, scope }
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
    report.add('TRV2003', message, { path: full, on: 'value' }, { help: 'start each target with `- connection: …`' })
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
      const message = `duplicate route name \`${raw.name}\`, first used on line ${line}`
      report.add('TRV2008', message, { path: place, on: 'value' })
    }
  }
}

/** What was seen is known from the store alone: a message that is not stored is not remembered across a crash. */
function reportContradiction({ report, root }: Scene, path: Path): void {
  const message = `${describePlace(path, root)}: \`deduplicate\` cannot survive a crash with \`acknowledge: delivered\``
  const help = 'omit `acknowledge`, or use `acknowledge: stored`'
  report.add('TRV2014', message, { path: [...path, 'acknowledge'], on: 'value' }, { help })
}
