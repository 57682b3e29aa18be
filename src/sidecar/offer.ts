/** What a gateway offers an application beside it, by connection. */
import type { AnyProtocol } from '../adapter/protocol.ts'
import type { ConnectionConfig, GatewayConfig } from '../config/schema/types.ts'

/** A connection that applications reach by its name. */
export interface Offer {
  readonly connection: ConnectionConfig
  readonly protocol: AnyProtocol
}

type Parts = Pick<GatewayConfig, 'connections' | 'protocols'>

/** Why applications cannot publish through it; undefined: they can. */
export function publishProblem({ protocol }: ConnectionConfig, protocols: readonly AnyProtocol[]): string | undefined {
  const { sink } = protocolOf(protocols, protocol)
  if (sink === undefined) return `${protocol} cannot be sent to`
  return sink.choosesHost ? `with ${protocol} a path would choose the host` : undefined
}

/** Why applications cannot ask through it. */
export function requestProblem(connection: ConnectionConfig, protocols: readonly AnyProtocol[]): string | undefined {
  const problem = publishProblem(connection, protocols)
  if (problem !== undefined) return problem
  const { sink, replies } = protocolOf(protocols, connection.protocol)
  if (sink?.answers?.(connection.settings)) return undefined
  return replies === undefined ? `${connection.protocol} has no reply address` : replies.problem?.(connection.settings)
}

/** Those that are named; by default all that can be published to. */
export function offersOf(config: Parts, names: readonly string[] | undefined): Offer[] {
  const isMeant = (connection: ConnectionConfig) =>
    names?.includes(connection.name) ?? publishProblem(connection, config.protocols) === undefined
  return [...config.connections.values()]
    .filter(isMeant)
    .map((connection) => ({ connection, protocol: protocolOf(config.protocols, connection.protocol) }))
}

function protocolOf(protocols: readonly AnyProtocol[], name: string): AnyProtocol {
  const protocol = protocols.find((one) => one.name === name)
  if (protocol === undefined) throw new TypeError(`no protocol ${name}`)
  return protocol
}
