/** Whether the rest of a route, and the protocols at its ends, can take part in its conversation. */
import type { Path } from '../report/diagnostic.ts'
import { describePlace, describeValue } from '../report/where.ts'
import type { FromRead, TargetRead } from './ends.ts'
import type { LinkedScene, Scene } from './scene.ts'
import type { RequestSettings } from './types.ts'

/** The rest of its route, as far as it was read. */
export interface RouteRead {
  readonly raw: Readonly<Record<string, unknown>>
  readonly source: FromRead | undefined
  readonly targets: readonly TargetRead[]
}

export type Kind = 'request' | 'scatter'

/** What else its route says. */
export function checkCompany(
  { report, root }: Scene,
  path: Path,
  { raw, kinds }: { raw: RouteRead['raw']; kinds: readonly Kind[] },
): void {
  const [kind, second] = kinds
  const route = describePlace(path, root)
  const contradiction = (key: string, message: string, help: string) =>
    report.add('TRV2014', `${route}: ${message}`, { path: [...path, key], on: 'value' }, { help })
  if (kind === undefined) {
    if (raw.acknowledge !== 'answered') return
    return contradiction('acknowledge', '`acknowledge: answered` needs an answer', 'add `request: {}`')
  }
  if (second !== undefined) {
    const help = 'one target: `request`; several: `scatter`'
    contradiction(second, 'it has `request` and `scatter`', help)
  }
  if (raw.acknowledge !== undefined && raw.acknowledge !== 'answered') {
    const message = `with \`${kind}\` the sender is told once it has its answer`
    contradiction('acknowledge', message, 'leave `acknowledge` out, or use `acknowledge: answered`')
  }
  if (raw.deduplicate !== undefined) {
    const message = `\`deduplicate\` cannot stand beside \`${kind}\`: a request that comes again wants its answer again`
    contradiction('deduplicate', message, 'leave `deduplicate` out')
  }
  if (kind === 'scatter' && raw.match === 'first') {
    contradiction('match', '`match: first` leaves a scatter one target', 'leave `match` out, or use `request`')
  }
}

/** Exactly one, or several. */
export function checkTargets(
  { report, root }: Scene,
  path: Path,
  { kind, own, read }: { kind: Kind; own: Pick<RequestSettings, 'scatter'> | undefined; read: RouteRead },
): void {
  const count = read.targets.length
  const place = { path: [...path, kind], on: 'key' } as const
  const route = describePlace(path, root)
  if (kind === 'request' && count > 1) {
    const message = `${route}: a request goes to exactly one target, this has ${count}`
    report.add('TRV2014', message, place, { help: 'leave one, or gather the replies of all with `scatter`' })
  }
  if (kind === 'scatter' && count === 1) {
    report.add('TRV2014', `${route}: a scatter goes to at least two targets`, place, { help: 'use `request` for one' })
  }
  for (const key of ['complete', 'minimum'] as const) {
    const wanted = own?.scatter?.[key]
    if (count === 0 || typeof wanted !== 'number' || wanted <= count) continue
    const message = `${route}: \`${key}: ${wanted}\` is more than its ${count} targets can give`
    report.add('TRV2014', message, { path: [...place.path, key], on: 'value' }, { help: `at most ${count}` })
  }
}

/** `place` is that of `timeout`. */
interface AskerRead {
  readonly source: FromRead | undefined
  readonly place: Path
  readonly own: Pick<RequestSettings, 'timeoutMs'> | undefined
}

export function checkAsker(scene: LinkedScene, path: Path, { source, place, own }: AskerRead): void {
  if (source?.config === undefined || source.protocol === undefined) return
  const { asks } = source.protocol.source ?? {}
  const { connection, settings } = source.config
  const valid = scene.connections.valid.get(connection)
  const problem =
    asks === undefined
      ? `${source.protocol.name} has no reply address`
      : valid && asks.problem?.(settings, valid.settings)
  if (problem === undefined) return checkPatience(scene, { source, place, own })
  const message = `${describePlace([...path, 'from'], scene.root)}: its senders cannot ask: ${problem}`
  const help = 'say where answers go: `request: { to: { … } }`'
  scene.report.add('TRV2016', message, { path: [...path, 'from', 'connection'], on: 'value' }, { help })
}

/** An asker that gives up before its time is over would hear of it as of any other failure. */
function checkPatience(scene: LinkedScene, { source, place, own }: AskerRead): void {
  const valid = scene.connections.valid.get(source?.config?.connection ?? '')
  const waitsMs = valid && source?.protocol?.source?.asks?.waitsMs?.(valid.settings)
  if (waitsMs === undefined || own === undefined || own.timeoutMs < waitsMs) return
  const message = `${describeValue(place, scene.root)}: senders of \`${valid?.name}\` wait ${waitsMs / 1000}s at most`
  const help = 'make it shorter, or have the connection wait longer: `answerTimeout`'
  scene.report.add('TRV2014', message, { path: place, on: 'value' }, { help })
}

export function checkRepliers(scene: LinkedScene, path: Path, targets: readonly TargetRead[]): void {
  for (const [index, { draft, config }] of targets.entries()) {
    const { protocol } = draft
    if (protocol?.sink === undefined || config === undefined) continue
    const valid = scene.connections.valid.get(config.connection)
    if (valid !== undefined && protocol.sink.answers?.(valid.settings) === true) continue
    const problem =
      protocol.replies === undefined
        ? `${protocol.name} has no reply address`
        : valid && protocol.replies.problem?.(valid.settings)
    if (problem === undefined) continue
    const place = [...path, 'to', index]
    const message = `${describePlace(place, scene.root)} cannot reply: ${problem}`
    const help = 'say where its replies are read: `request: { reply: { connection: …, correlation: … } }`'
    scene.report.add('TRV2016', message, { path: [...place, 'connection'], on: 'value' }, { help })
  }
}
