/**
 * Routes whose messages come back to them. A static over-approximation: a template may give any value, so addresses that
 * could be equal count as equal; conditions are not understood, so a cycle with one on its way is only a warning.
 */
import { parseAddress } from '../../adapter/address.ts'
import type { AnyProtocol } from '../../adapter/protocol.ts'
import { isPattern } from '../../routing/allow.ts'
import { type Rests, restsOf } from '../../routing/pattern.ts'
import { separatorOf } from '../../routing/template.ts'
import type { Path } from '../report/diagnostic.ts'
import { valueAt } from '../report/where.ts'
import type { LinkedScene, RouteDraft, Scene } from '../schema/scene.ts'
import type { RouteConfig, TargetConfig } from '../schema/types.ts'
import { type LevelShape, levelsOfPattern, levelsOfTemplate, overlap } from './address-overlap.ts'

type Separator = '/' | '.' | undefined

/** The address patterns read from one broker, of all routes, by what parts their levels. */
interface Readers {
  readonly separator: Separator
  readonly patterns: { readonly route: number; readonly connection: string; readonly levels: readonly LevelShape[] }[]
}

interface Edge {
  readonly to: number
  readonly isConditional: boolean
  /** The target that leads there. */
  readonly path: Path
}

/** Reports each circle once, at the target that closes the view: the first of its first route. */
export function checkCycles(scene: LinkedScene, drafts: readonly RouteDraft[]): void {
  const routes = drafts.flatMap(({ config, path }) => (config ? [{ config, path }] : []))
  const edges = edgesOf(scene, routes)
  const reported = new Set<number>()
  for (const isConditional of [false, true]) {
    for (const [start] of routes.entries()) {
      if (reported.has(start)) continue
      const way = shortestWayBack(start, edges, isConditional)
      if (way === undefined) continue
      const names = [start, ...way.map(({ to }) => to)].map((index) => routes[index]?.config.name ?? '')
      for (const { to } of way) reported.add(to)
      report(scene, names, way[0]?.path ?? [], isConditional)
    }
  }
}

function report(scene: Scene, names: readonly string[], path: Path, isConditional: boolean): void {
  const way = names.map((name) => `\`${name}\``).join(' -> ')
  const start = names[0] ?? ''
  const text = names.length === 2 ? `route \`${start}\` reads its own output` : `routes form a loop: ${way}`
  const code = isConditional ? 'TRV4004' : 'TRV3010'
  const help = isConditional
    ? 'make sure a condition stops every message, or send to addresses that no route in the loop reads'
    : 'send to addresses that no route in the loop reads'
  scene.report.add(code, text, { path: shownPath(scene, path), on: 'value' }, { help })
}

/** The key of the destination says more than the first line of its target. */
function shownPath({ root }: Scene, path: Path): Path {
  const raw = valueAt(root, path) as Record<string, unknown>
  const key = Object.keys(raw).find(
    (name) => !['connection', 'when', 'format', 'allow', 'maxDestinations'].includes(name),
  )
  return key === undefined ? path : [...path, key]
}

function edgesOf(
  scene: LinkedScene,
  routes: readonly { config: RouteConfig; path: Path }[],
): readonly (readonly Edge[])[] {
  const readers = readersByBroker(scene, routes)
  return routes.map(({ config, path }) => {
    const isConditional = config.when !== undefined || config.filter.length > 0
    const rests = restsOf(scene.protocols.get(config.from.protocol)?.source?.patterns(config.from.settings) ?? [])
    return config.to.flatMap((target, index) => {
      const found = (readers.get(brokerOf(scene, target.connection)) ?? []).flatMap(({ separator, patterns }) => {
        const ends = targetLevels(scene.protocols.get(target.protocol), target, { separator, rests })
        return patterns
          .filter(({ connection }) => connection !== target.connection || !isDeaf(scene, target))
          .filter((pattern) => ends.some((levels) => overlap(levels, pattern.levels)))
      })
      const isEdgeConditional = isConditional || target.when !== undefined || (config.match === 'first' && index > 0)
      return [...new Set(found.map(({ route }) => route))].map((to) => ({
        to,
        isConditional: isEdgeConditional,
        path: [...path, 'to', index],
      }))
    })
  })
}

function readersByBroker(scene: LinkedScene, routes: readonly { config: RouteConfig }[]): Map<string, Readers[]> {
  const brokers = new Map<string, Readers[]>()
  for (const [route, { config }] of routes.entries()) {
    const broker = brokerOf(scene, config.from.connection)
    const readers = brokers.get(broker) ?? []
    brokers.set(broker, readers)
    for (const pattern of scene.protocols.get(config.from.protocol)?.source?.patterns(config.from.settings) ?? []) {
      const known = readers.find(({ separator }) => separator === pattern.separator)
      const group = known ?? { separator: pattern.separator, patterns: [] }
      if (known === undefined) readers.push(group)
      group.patterns.push({ route, connection: config.from.connection, levels: levelsOfPattern(pattern) })
    }
  }
  return brokers
}

/** True where what is sent through a connection never comes back through it. */
function isDeaf(scene: LinkedScene, { protocol, connection }: TargetConfig): boolean {
  const settings = scene.connections.valid.get(connection)?.settings
  return settings !== undefined && scene.protocols.get(protocol)?.sink?.isHeardBySources?.(settings) === false
}

/** Of each address the target may have. */
function targetLevels(
  protocol: AnyProtocol | undefined,
  target: TargetConfig,
  { separator, rests }: { separator: Separator; rests: Rests },
): readonly (readonly LevelShape[])[] {
  const sink = protocol?.sink
  if (sink === undefined) return []
  const kinds = Object.values(sink.destinations)
  const areAllSafe =
    separator !== undefined && kinds.every((kind) => !kind.encode(`a${separator}b`).includes(separator))
  const staysInLevel = (expression: string) => areAllSafe && separatorOf(expression, rests) === undefined
  return settingsOf(sink, target).map((settings) => levelsOfTemplate(sink.address(settings), separator, staysInLevel))
}

/** With `allow`, once for each destination that is allowed, where one alone depends on the message. */
function settingsOf({ destinations }: NonNullable<AnyProtocol['sink']>, { settings, allow }: TargetConfig): unknown[] {
  const texts = settings as Record<string, unknown>
  const open = Object.keys(destinations).filter((key) => String(texts[key] ?? '').includes('{'))
  const [key] = open
  if (allow === undefined || key === undefined || open.length > 1 || allow.some(isPattern)) return [settings]
  return allow.map((text) => ({ ...texts, [key]: text.replaceAll(/[{}]/g, '$&$&') }))
}

/** Two connections to one broker are one place: known by protocol, host and port, else by the connection's name. */
function brokerOf({ connections }: LinkedScene, name: string): string {
  const connection = connections.valid.get(name)
  const settings = connection?.settings as { url?: unknown; listen?: unknown } | undefined
  const address = settings?.url ?? [settings?.listen].flat()[0]
  if (connection === undefined || typeof address !== 'string') return `name ${name}`
  const { host, port, path } = parseAddress(address, 0)
  const place = /^(localhost|127\.0\.0\.1|::1|0\.0\.0\.0|::)$/.test(host) ? 'here' : host.toLowerCase()
  return `${connection.protocol} ${place}:${port} ${path}`
}

/** Breadth first, so that the circle told is the shortest one. */
function shortestWayBack(
  start: number,
  edges: readonly (readonly Edge[])[],
  withConditional: boolean,
): readonly Edge[] | undefined {
  const ways: Edge[][] = [[]]
  const seen = new Set<number>()
  for (let way = ways.shift(); way !== undefined; way = ways.shift()) {
    for (const edge of edges[way.at(-1)?.to ?? start] ?? []) {
      if (edge.isConditional && !withConditional) continue
      if (edge.to === start) return [...way, edge]
      if (seen.has(edge.to)) continue
      seen.add(edge.to)
      ways.push([...way, edge])
    }
  }
  return undefined
}
