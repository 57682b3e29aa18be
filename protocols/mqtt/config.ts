/** Settings of MQTT: a connection to an external broker (`url`) or the embedded broker (`listen`), `from` and `to`. */
import { z } from 'zod'
import { passwordProblems } from '../../src/adapter/address.ts'
import { isLoopback } from '../../src/adapter/loopback.ts'
import type { SettingsProblem } from '../../src/adapter/protocol.ts'
import { address, clientTls, duration, refuse, secret } from '../../src/adapter/schema.ts'
import { identities } from './broker/admission/identity.ts'
import { userProblems } from './broker/admission/user-problems.ts'
import { type EmbeddedConnection, embeddedShape, listenAddresses } from './broker/config.ts'
import { patternProblem, topicProblem } from './topic.ts'

const qos = () => z.literal([0, 1, 2])

const will = () =>
  z.strictObject({
    topic: z.string().min(1).meta({ description: 'Topic of the last will.' }),
    payload: z.string().default('').meta({ description: 'Body of the last will.' }),
    qos: qos().default(1).meta({ description: 'Quality of service of the last will.' }),
    retain: z.boolean().default(false).meta({ description: 'Whether the broker keeps the last will.' }),
  })

/** Optional throughout, as a connection with `listen` has none of them; `clientSettings` fills the gaps. */
const clientShape = {
  url: address({ schemes: ['mqtt', 'mqtts', 'ws', 'wss'], example: 'mqtt://localhost:1883' })
    .optional()
    .meta({
      description:
        'Address of an external broker. What is no letter or digit in a password is percent-encoded, or stands under `password`.',
      examples: ['mqtt://localhost:1883'],
    }),
  clientId: z.string().min(1).optional().meta({
    description: 'Stem of the client ids: `-in` and `-out` are added. Default: gateway id, dash, connection name.',
  }),
  clean: z.boolean().optional().meta({
    description: 'Forget the session at every disconnect, and lose what arrives meanwhile. Default false.',
  }),
  sessionExpiry: duration().optional().meta({
    description: 'How long the broker keeps the session of a gateway that is away (MQTT 5). Default 7d.',
  }),
  protocolVersion: z.literal([4, 5]).optional().meta({
    description: '5, or 4 for MQTT 3.1.1. Default: 5, or 4 where the broker refuses 5.',
  }),
  username: z.string().min(1).optional().meta({ description: 'User name.' }),
  password: secret().optional().meta({ description: 'Password; use ${env:…} or ${file:…}.', secret: true }),
  keepalive: duration().optional().meta({
    description: 'Pings leave twice in this time; after 1.5 times of silence the broker is given up. Default 15s.',
  }),
  will: will().optional().meta({ description: 'What the broker publishes when the gateway vanishes.' }),
  maxInFlight: z.int().min(1).max(65_535).optional().meta({
    description:
      'Most unsettled messages of a source, most unconfirmed of a sink. Default 1024; 256 for a source with `url` whose routes all acknowledge `stored`.',
  }),
}

const tls = () =>
  clientTls()
    .extend({
      identity: z.enum(identities).optional().meta({
        description:
          'For `listen` with `ca`: the user of a device is the common name (`cn`) or the first alternative name (`san`: DNS, mail, URI) of its certificate, which then needs no password. Default: `cn` where there are no `users`.',
      }),
    })
    .optional()
    .meta({
      description:
        'TLS of mqtts and wss: what a client trusts and shows; for `listen` the certificate and key it needs.',
    })

const shared = new Set(['maxInFlight', 'maxPacketSize'])
const clientOnly = Object.keys(clientShape).filter((key) => !shared.has(key))
const embeddedOnly = Object.keys(embeddedShape).filter((key) => !shared.has(key))

export const MqttConnection = z.strictObject({ ...clientShape, tls: tls(), ...embeddedShape }).superRefine(checkKind)
export type MqttConnection = z.infer<typeof MqttConnection>

/** One strict object and this, not a union, so that a wrong key is told by its name and not by two variants. */
function checkKind(connection: object, context: z.RefinementCtx): void {
  const has = (key: string) => (connection as Record<string, unknown>)[key] !== undefined
  const tell = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message })
  if (!has('url') && !has('listen')) {
    tell([], 'an mqtt connection needs `url` (an external broker) or `listen` (the embedded broker)')
    return
  }
  if (has('url') && has('listen')) {
    tell(['listen'], '`url` and `listen` exclude each other: connect to a broker or be one')
    return
  }
  const [foreign, kind] = has('url') ? [embeddedOnly, 'listen'] : [clientOnly, 'url']
  for (const key of foreign.filter(has)) tell([key], `\`${key}\` belongs to a connection with \`${kind}\``)
}

export const MqttFrom = z.strictObject({
  topic: z
    .string()
    .superRefine(refuse(patternProblem))
    .meta({
      description: 'Topic filter: `+` and `{name}` are one level, `#` and `{name#}` all that remain.',
      examples: ['sensors/{site}/+/telemetry'],
    }),
  qos: qos().default(1).meta({ description: 'Highest quality of service; 0 loses messages.' }),
  share: z
    .string()
    .regex(/^[^/+#]+$/, { error: 'a share name has no / + #' })
    .optional()
    .meta({ description: 'Name of a shared subscription: gateways of one name divide the messages.' }),
})
export type MqttFrom = z.infer<typeof MqttFrom>

export const MqttTarget = z.strictObject({
  topic: z
    .string()
    .min(1)
    .meta({
      description: 'Topic; may hold {expressions}. `{params.rest}` of a `{rest#}` keeps its levels.',
      examples: ['alarms/{params.site}'],
    }),
  qos: qos().default(1).meta({ description: 'Quality of service; 0 is at most once: sent, never confirmed.' }),
  retain: z
    .union([z.boolean(), z.literal('source')])
    .default(false)
    .meta({
      description: 'Whether the broker keeps it as the last value; `source`: where the message came with that flag.',
    }),
})
export type MqttTarget = z.infer<typeof MqttTarget>

/** What the client needs, with the defaults in place; times in milliseconds. */
export interface ClientSettings {
  readonly url: string
  readonly clientId: string | undefined
  readonly clean: boolean
  readonly sessionExpiryMs: number
  /** undefined: 5, or 4 where 5 is refused. */
  readonly protocolVersion: 4 | 5 | undefined
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tls: MqttConnection['tls']
  readonly keepaliveMs: number
  readonly will: MqttConnection['will']
  readonly maxInFlight: number
  /** The largest packet the broker takes, where it cannot say so itself. */
  readonly maxPacketBytes: number
}

/** For what is settled as soon as it is on disk: few messages at a time die young, at a part of the collector's cost (docs/decisions/0012). */
export const storedInFlight = 256

/** The settings of a connection with `url`. */
export function clientSettings(connection: MqttConnection, usualInFlight = 1024): ClientSettings {
  return {
    url: connection.url ?? '',
    clientId: connection.clientId,
    clean: connection.clean ?? false,
    sessionExpiryMs: connection.sessionExpiry ?? 7 * 86_400_000,
    protocolVersion: connection.protocolVersion,
    username: connection.username,
    password: connection.password,
    tls: connection.tls,
    keepaliveMs: connection.keepalive ?? 15_000,
    will: connection.will,
    maxInFlight: connection.maxInFlight ?? usualInFlight,
    maxPacketBytes: connection.maxPacketSize ?? Number.POSITIVE_INFINITY,
  }
}

/** What the schema alone cannot see. */
export function checkConnection(connection: MqttConnection): readonly SettingsProblem[] {
  return connection.url === undefined ? checkListener(connection) : checkClient(connection)
}

function checkClient(connection: MqttConnection): SettingsProblem[] {
  const problems: SettingsProblem[] = []
  const { keepalive, will, tls } = connection
  problems.push(...passwordProblems(connection))
  if (keepalive !== undefined && (keepalive < 1_000 || keepalive > 65_535_000)) {
    problems.push({ path: ['keepalive'], message: 'keepalive lies between 1s and 65535s' })
  }
  if (will !== undefined && topicProblem(will.topic) !== undefined) {
    problems.push({ path: ['will', 'topic'], message: topicProblem(will.topic) ?? '' })
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    problems.push({ path: ['tls'], message: 'a client certificate needs both `cert` and `key`' })
  }
  if (tls !== undefined && !/^(mqtts|wss):/i.test(connection.url ?? '')) {
    problems.push({ path: ['tls'], message: '`tls` needs a url with mqtts:// or wss://' })
  }
  if (tls?.identity !== undefined) {
    problems.push({ path: ['tls', 'identity'], message: '`identity` belongs to a connection with `listen`' })
  }
  return problems
}

function checkListener(connection: EmbeddedConnection & MqttConnection): SettingsProblem[] {
  const problems: SettingsProblem[] = []
  const { tls } = connection
  const addresses = listenAddresses(connection)
  const encrypted = addresses.some(({ scheme }) => scheme === 'mqtts' || scheme === 'wss')
  if (encrypted && (tls?.cert === undefined || tls.key === undefined)) {
    problems.push({ path: ['tls'], message: 'a listener with mqtts:// or wss:// needs `tls` with `cert` and `key`' })
  }
  if (tls?.serverName !== undefined) {
    problems.push({ path: ['tls', 'serverName'], message: '`serverName` belongs to a connection with `url`' })
  }
  problems.push(...userProblems(connection))
  const open = addresses.find((address) => !isLoopback(address.host) && !isGuarded(connection, address.scheme))
  if (open !== undefined && connection.insecure !== true) {
    problems.push({
      path: ['listen'],
      message: `${open.text} lets anybody in: add \`users\` or client certificates (\`tls.ca\`), or say \`insecure: true\``,
    })
  }
  return problems
}

function isGuarded(connection: MqttConnection, scheme: string): boolean {
  if ((connection.users?.length ?? 0) > 0) return true
  return (scheme === 'mqtts' || scheme === 'wss') && connection.tls?.ca !== undefined
}
