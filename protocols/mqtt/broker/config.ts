/** Settings of a connection that listens: the embedded broker. */
import { z } from 'zod'
import { type AddressRule, addressProblem, parseAddress } from '../../../src/adapter/address.ts'
import { duration, refuse, secret, size } from '../../../src/adapter/schema.ts'
import { maxInFlight, tls } from '../settings.ts'
import type { Identity } from './admission/identity.ts'
import { originOf } from './admission/origins.ts'
import { placeholderProblem } from './admission/placeholders.ts'
import { filterProblem } from './filter.ts'

const listenUrl = () => z.string().superRefine(refuse(listenProblem)).meta({ address: true })

const filter = () =>
  z.string().superRefine(refuse((text) => filterProblem(text) ?? placeholderProblem(text, ['user', 'client'])))
const clientId = () => z.string().superRefine(refuse((text) => placeholderProblem(text, ['user'])))
const origin = () =>
  z
    .string()
    .superRefine(
      refuse((text) =>
        text === '*' || originOf(text) === text
          ? undefined
          : 'expected `*`, or scheme, host and port as a browser sends them, e.g. https://panel.example.com',
      ),
    )

const user = z.strictObject({
  username: z.string().min(1).meta({
    description:
      'Name the device logs in with, or that its certificate shows; `*`: any other that a certificate shows.',
  }),
  password: secret().optional().meta({
    description:
      'Password; use ${env:…} or ${file:…}. To be left out where certificates name the users (`tls.identity`).',
    secret: true,
  }),
  clientIds: z
    .array(clientId())
    .min(1)
    .optional()
    .meta({
      description:
        'Client ids of this user, and of no other: `*` is any text, `{user}` the name. Default: any that is no other user’s.',
      examples: [['{user}-*']],
    }),
  publish: z.array(filter()).optional().meta({
    description: 'Topic filters this user may publish to; `{user}` and `{client}` are the name and the client id.',
  }),
  subscribe: z.array(filter()).optional().meta({
    description:
      'Topic filters this user may subscribe to, or to any narrower filter; `{user}` and `{client}` as in `publish`.',
  }),
})

export const MqttBrokerConnection = z
  .strictObject({
    listen: z.union([listenUrl(), z.array(listenUrl()).min(1)]).meta({
      description: 'Addresses the embedded broker listens on, by mqtt, mqtts, ws or wss.',
      examples: ['mqtt://127.0.0.1:1883'],
    }),
    users: z.array(user).refine(hasNoDouble, { error: 'a user is named twice' }).default([]).meta({
      description:
        'Who may connect. Without `publish` and `subscribe` a user may use every topic; with one of them nothing else. No users: anybody may connect.',
    }),
    tls: tls().optional().meta({
      description: 'Certificate and key of mqtts and wss; with `ca` devices need a certificate of that authority.',
    }),
    maxPacketSize: size().prefault('1MiB').meta({ description: 'Largest packet that a device may send.' }),
    origins: z
      .array(origin())
      .min(1)
      .optional()
      .meta({
        description:
          'Origins of the pages that may open a websocket from a browser, `*` for all. Default: pages of the same host, whatever their port.',
        examples: [['https://panel.example.com']],
      }),
    maxConnections: z.int().min(1).default(10_000).meta({ description: 'Most devices at once.' }),
    maxConnectionsPerAddress: z.int().min(1).optional().meta({
      description:
        'Most connections from one IPv4 address or IPv6 /64 network at once. Default: half of `maxConnections`; from this machine itself, all.',
    }),
    connectTimeout: duration()
      .prefault('5s')
      .meta({ description: 'Time a device has from opening the connection to its CONNECT.' }),
    maxTopicLevels: z.int().min(1).max(100).default(32).meta({ description: 'Most levels of a topic or filter.' }),
    maxSubscriptions: z.int().min(1).default(100).meta({ description: 'Most subscriptions of one device.' }),
    maxTopicSize: size().prefault('1KiB').meta({ description: 'Most bytes of a topic or filter.' }),
    maxClientIdSize: size().prefault('256B').meta({ description: 'Most bytes of a client id.' }),
    insecure: z
      .boolean()
      .default(false)
      .meta({ description: 'Allows a listener that others can reach without users or client certificates.' }),
    maxInFlight: maxInFlight()
      .default(1_024)
      .meta({ description: 'The `maxInFlight` of each `from` that has none of its own.' }),
  })
  .meta({ title: 'With `listen`: the embedded broker' })
export type MqttBrokerConnection = z.output<typeof MqttBrokerConnection>
export type EmbeddedUser = z.output<typeof user>
/** Files of the listeners' certificate and key (PEM), and of the authority of client certificates, which are then demanded; `crl` names the revoked. */
export type ListenerTls = NonNullable<MqttBrokerConnection['tls']>

/** What of a client certificate is the user's name: told, or the common name where nothing but certificates lets anybody in. */
export function identityOf({ tls, users }: MqttBrokerConnection): Identity | undefined {
  return tls?.identity ?? (tls?.ca !== undefined && users.length === 0 ? 'cn' : undefined)
}

export interface ListenAddress {
  readonly scheme: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly text: string
}

const defaultPorts = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 } as const
const listenRule: AddressRule = { schemes: Object.keys(defaultPorts), example: 'mqtt://127.0.0.1:1883', leastPort: 0 }

function listenProblem(text: string): string | undefined {
  const problem = addressProblem(text, listenRule)
  if (problem !== undefined) return problem
  const { username, path, query } = parseAddress(text, 0)
  if (username !== undefined) return 'an address to listen on has no user: name them in `users`'
  return path.length > 1 || query !== '' ? 'an address to listen on has no path: mqtt://127.0.0.1:1883' : undefined
}

/** The parts of `mqtt://host:port`; the schema has checked it. The port may be left out. */
export function parseListenUrl(text: string): ListenAddress {
  const { scheme, host, port } = parseAddress(text, 0)
  const known = scheme as ListenAddress['scheme']
  return { scheme: known, host, port: port ?? defaultPorts[known], text }
}

/** The addresses of an embedded connection; the schema has checked them. */
export function listenAddresses({ listen }: MqttBrokerConnection): readonly ListenAddress[] {
  return (typeof listen === 'string' ? [listen] : listen).map(parseListenUrl)
}

/** A connection's limits; times in milliseconds, sizes in bytes. */
export function limitsOf(connection: MqttBrokerConnection) {
  return {
    maxPacketBytes: connection.maxPacketSize,
    maxConnections: connection.maxConnections,
    maxConnectionsPerAddress: connection.maxConnectionsPerAddress,
    connectTimeoutMs: connection.connectTimeout,
    maxTopicLevels: connection.maxTopicLevels,
    maxSubscriptions: connection.maxSubscriptions,
    maxTopicBytes: connection.maxTopicSize,
    maxClientIdBytes: connection.maxClientIdSize,
  }
}
export type Limits = ReturnType<typeof limitsOf>

function hasNoDouble(users: readonly { readonly username: string }[]): boolean {
  return new Set(users.map((user) => user.username)).size === users.length
}
