/** The sidecar's API is a connection and routes like any other; only no file has them. */
import type { Door, Doors } from '../adapter/door.ts'
import type { ConnectionConfig, GatewayConfig, RequestSettings, RouteConfig } from '../config/schema/types.ts'
import { acknowledgements, longestTimeoutMs, publishDoor, requestDoor } from './doors.ts'
import { type Offer, offersOf } from './offer.ts'

/** Names that no file can give. */
export const sidecarName = '~sidecar'
const routeName = (kind: string, { connection }: Offer) => `${sidecarName}/${kind}/${connection.name}`

const retry = { attempts: 8, delayMs: 200, maxDelayMs: 60_000 } as const
const request: RequestSettings = {
  ...{ timeoutMs: longestTimeoutMs, maxOutstanding: 10_000, late: 'drop', to: undefined, scatter: undefined },
  reply: { from: undefined, correlation: '', set: new Map() },
}

/** The configuration with what `gateway.sidecar` stands for. */
export function withSidecar(config: GatewayConfig): GatewayConfig {
  const { sidecar } = config.gateway
  const host = config.protocols.find(({ source }) => source?.doors !== undefined)
  if (sidecar === undefined || host?.source?.doors === undefined) return config
  const { doors } = host.source as { doors: Doors }
  const settings = doors.connection(sidecar)
  const listener: ConnectionConfig = { name: sidecarName, protocol: host.name, format: undefined, settings }
  const from = (door: Door) => ({
    ...{ connection: sidecarName, protocol: host.name, format: undefined },
    settings: doors.from(door),
  })
  const routes = [
    ...offersOf(config, sidecar.publish).flatMap((offer) => publishing(offer, from)),
    ...offersOf(config, sidecar.request).map((offer) => asking(offer, from(requestDoor(offer)))),
  ]
  const connections = new Map([...config.connections, [sidecarName, listener] as const])
  return { ...config, connections, routes: [...config.routes, ...routes] }
}

function publishing(offer: Offer, from: (door: Door) => RouteConfig['from']): RouteConfig[] {
  return acknowledgements.map((acknowledge) => ({
    ...plain(routeName(`publish-${acknowledge}`, offer), offer, from(publishDoor(offer, acknowledge))),
    acknowledge,
  }))
}

/** A route that asks through a connection, whichever way the requests come. */
export function asking(offer: Offer, from: RouteConfig['from']): RouteConfig {
  return { ...plain(routeName('request', offer), offer, from), acknowledge: 'answered', request }
}

function plain(name: string, { connection }: Offer, from: RouteConfig['from']): RouteConfig {
  const target = { connection: connection.name, protocol: connection.protocol, format: connection.format }
  return {
    ...{ name, from, filter: [], when: undefined, set: new Map(), match: 'all', order: 'key' },
    to: [{ ...target, when: undefined, allow: undefined, settings: {}, isAddressed: true }],
    ...{ acknowledge: 'stored', deduplicate: undefined, retry, deadLetter: undefined },
  }
}
