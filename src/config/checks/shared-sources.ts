import type { Format } from '../../envelope/envelope.ts'
import { describePlace, describeValue } from '../report/where.ts'
import type { LinkedScene, RouteDraft, Scene } from '../schema/scene.ts'

/** Routes may read from one source; it decodes a message once for all of them, and so has one format. */
export function checkSharedSources(scene: LinkedScene, drafts: readonly RouteDraft[]): void {
  const firsts = new Map<string, RouteDraft>()
  for (const draft of drafts) {
    const source = sourceOf(scene, draft)
    if (source === undefined) continue
    const first = firsts.get(source)
    if (first === undefined) firsts.set(source, draft)
    else if (first.from?.format !== draft.from?.format) report(scene, draft, first)
  }
}

/** What tells sources apart, as the gateway groups its routes; undefined where that is not known. */
function sourceOf({ connections }: LinkedScene, { from, fromProtocol }: RouteDraft): string | undefined {
  const connection = from && connections.valid.get(from.connection)
  const group = connection && fromProtocol?.source?.group(from.settings, connection.settings)
  return group === undefined ? undefined : `${connection?.name}\0${group}`
}

function report({ report, root }: Scene, draft: RouteDraft, first: RouteDraft): void {
  const path = [...draft.path, 'from', 'format']
  const difference = `is ${shown(draft.from?.format)}, but ${shown(first.from?.format)} in ${describePlace(first.path, root)}`
  const message = `${describeValue(path, root)}: ${difference}, which reads from the same source`
  const help = 'give both the same `format`, or let one of them read through a connection of its own'
  report.add('TRV2013', message, { path, on: 'value' }, { help })
}

function shown(format: Format | undefined): string {
  return format === undefined ? 'not set' : `\`${format}\``
}
