import type { RouteConfig, TargetConfig } from '../config/schema/types.ts'
import type { ProtocolOf } from '../routing/target.ts'

/**
 * What the store knows each target of a route by, in the order of `to`: `events/telemetry.{params.site}`, with its
 * templates as they stand in the file. A text that comes again ends in `#2`, `#3`.
 */
export function targetTextsOf(route: Pick<RouteConfig, 'to'>, protocolOf: ProtocolOf): string[] {
  const seen = new Map<string, number>()
  return route.to.map((target) => {
    const text = targetText(target, protocolOf)
    const times = (seen.get(text) ?? 0) + 1
    seen.set(text, times)
    return times === 1 ? text : `${text}#${times}`
  })
}

function targetText({ connection, protocol, settings, isAddressed }: TargetConfig, protocolOf: ProtocolOf): string {
  if (isAddressed) return `${connection}/`
  return `${connection}/${protocolOf(protocol).sink?.address(settings) ?? ''}`
}
