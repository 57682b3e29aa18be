/** What mqtt.js is told: where to, as whom, and that it leaves reconnecting, pinging and queueing to the gateway. */
import type { IClientOptions, Packet } from 'mqtt'
import { type Address, parseAddress } from '../../../src/adapter/address.ts'
import type { Log } from '../../../src/adapter/contract.ts'
import { clientTlsOptions } from '../../../src/adapter/tls-files.ts'
import type { MqttClientConnection } from './config.ts'

const connectMs = 10_000

export type MqttVersion = 4 | 5

export interface LinkOptions {
  readonly settings: MqttClientConnection
  readonly clientId: string
  /** Forget the session at the end. */
  readonly clean: boolean
  /** MQTT 5: most QoS 1 and 2 messages the broker may send unacknowledged. */
  readonly receiveMaximum: number
  /** Sees every packet before mqtt.js; true: taken, mqtt.js shall pass over it. Called from before CONNACK on. */
  readonly take: (packet: Packet) => boolean
  readonly log: Log
}

/** Throws PermanentError where the files of `tls` cannot be used. */
export function clientOptions(version: MqttVersion, options: LinkOptions): IClientOptions {
  const { settings, clean } = options
  const address = parseAddress(settings.url)
  const isWebSocket = address.scheme.startsWith('ws')
  const username = settings.username ?? address.username
  const password = settings.password ?? address.password
  return {
    protocol: address.scheme as 'mqtt' | 'mqtts' | 'ws' | 'wss',
    host: address.host,
    hostname: isWebSocket && address.host.includes(':') ? `[${address.host}]` : address.host,
    ...(address.port !== undefined && { port: address.port }),
    ...(isWebSocket && { path: pathOf(address) }),
    ...clientTlsOptions(options.settings.tls, options.log),
    ...webSocketOptions(options),
    protocolVersion: version,
    clientId: options.clientId,
    clean,
    keepalive: Math.round(settings.keepalive / 1000),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...willOptions(options),
    ...(version === 5 && { properties: connectProperties(options) }),
    reconnectPeriod: 0, // the gateway's supervisor reconnects (#1778, #295, #636)
    connectTimeout: connectMs,
    resubscribe: false,
    queueQoSZero: false,
    timerVariant: { set: () => 0, clear: () => {} }, // its pings: see Liveness
    log: () => {},
  } as IClientOptions
}

function pathOf({ path, query }: Address): string {
  return `${path || '/'}${query === '' ? '' : `?${query}`}`
}

/** Who holds a will: a connection has one, its clients may be several. The first to open keeps it. */
const willHolders = new WeakMap<object, string>()

function willOptions({ settings: { will }, clientId }: LinkOptions) {
  if (will === undefined) return {}
  const holder = willHolders.get(will) ?? clientId
  willHolders.set(will, holder)
  if (holder !== clientId) return {}
  return { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: will.qos, retain: will.retain } }
}

function connectProperties(options: LinkOptions) {
  const expirySecs = options.clean ? 0 : Math.ceil(options.settings.sessionExpiry / 1000)
  return { receiveMaximum: options.receiveMaximum, sessionExpiryInterval: Math.min(expirySecs, 0xffff_ffff) }
}

/** A WebSocket's own connect takes the name from here. */
function webSocketOptions({ settings: { tls } }: LinkOptions) {
  return tls?.serverName === undefined ? {} : { wsOptions: { servername: tls.serverName } }
}
