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
          : 'expected `*`, or an origin as browsers send it, e.g. https://panel.example.com',
      ),
    )

const user = z.strictObject({
  username: z.string().min(1).meta({
    description:
      'User name the device logs in with, or the one in its certificate; `*`: any other name in a certificate.',
  }),
  password: secret().optional().meta({
    description: 'Password; use ${env:…} or ${file:…}. Omit it if certificates identify the users (`tls.identity`).',
    secret: true,
  }),
  clientIds: z
    .array(clientId())
    .min(1)
    .optional()
    .meta({
      description:
        'Client ids reserved for this user: `*` matches any text, `{user}` is the user name. Default: any that is not reserved for another user.',
      examples: [['{user}-*']],
    }),
  publish: z.array(filter()).optional().meta({
    description: 'Topic filters this user may publish to; `{user}` and `{client}` are the user name and the client id.',
  }),
  subscribe: z.array(filter()).optional().meta({
    description:
      'Topic filters this user may subscribe to, including narrower ones; `{user}` and `{client}` as in `publish`.',
  }),
})

export const MqttBrokerConnection = z
  .strictObject({
    listen: z.union([listenUrl(), z.array(listenUrl()).min(1)]).meta({
      description: 'Addresses the embedded broker listens on: mqtt, mqtts, ws or wss.',
      examples: ['mqtt://127.0.0.1:1883'],
    }),
    users: z.array(user).refine(hasNoDouble, { error: 'a user name appears twice' }).default([]).meta({
      description:
        'Who may connect. A user without `publish` and `subscribe` may use every topic; with either of them, only what is listed. Without users anyone may connect.',
    }),
    tls: tls().optional().meta({
      description: 'Certificate and key for mqtts and wss; with `ca`, devices must present a certificate signed by it.',
    }),
    maxPacketSize: size().prefault('1MiB').meta({ description: 'Largest packet a device may send.' }),
    origins: z
      .array(origin())
      .min(1)
      .optional()
      .meta({
        description:
          'Origins that may open a WebSocket from a browser; `*` allows all. Default: the same host on any port.',
        examples: [['https://panel.example.com']],
      }),
    maxConnections: z.int().min(1).default(10_000).meta({ description: 'Maximum concurrent connections.' }),
    maxConnectionsPerAddress: z.int().min(1).optional().meta({
      description:
        'Maximum concurrent connections from one IPv4 address or IPv6 /64 network. Default: half of `maxConnections`; no limit from this machine.',
    }),
    connectTimeout: duration()
      .prefault('5s')
      .meta({ description: 'Maximum time from opening the connection to CONNECT.' }),
    maxTopicLevels: z.int().min(1).max(100).default(32).meta({ description: 'Maximum levels of a topic or filter.' }),
    maxSubscriptions: z.int().min(1).default(100).meta({ description: 'Maximum subscriptions per device.' }),
    maxTopicSize: size().prefault('1KiB').meta({ description: 'Maximum size of a topic or filter.' }),
    maxClientIdSize: size().prefault('256B').meta({ description: 'Maximum size of a client id.' }),
    insecure: z
      .boolean()
      .default(false)
      .meta({ description: 'Allows a listener that other machines can reach without users or client certificates.' }),
    maxInFlight: maxInFlight().default(1_024).meta({ description: 'Default `maxInFlight` of each `from`.' }),
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
  if (username !== undefined) return 'a listen address has no user: define users under `users`'
  return path.length > 1 || query !== '' ? 'a listen address has no path, e.g. mqtt://127.0.0.1:1883' : undefined
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
