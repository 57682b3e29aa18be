/** Settings of a connection to an external MQTT broker. */
import { z } from 'zod'
import { parseAddress, passwordProblems } from '../../../src/adapter/address.ts'
import type { SettingsProblem } from '../../../src/adapter/protocol.ts'
import { address, duration, secret, size } from '../../../src/adapter/schema.ts'
import { maxInFlight, qos, tls } from '../settings.ts'
import { topicProblem } from '../topic.ts'

const schemes = ['mqtt', 'mqtts', 'ws', 'wss']

const will = () =>
  z.strictObject({
    topic: z.string().min(1).meta({ description: 'Topic of the last will.' }),
    payload: z.string().default('').meta({ description: 'Payload of the last will.' }),
    qos: qos().default(1).meta({ description: 'QoS of the last will.' }),
    retain: z.boolean().default(false).meta({ description: 'Whether the broker retains the last will.' }),
  })

export const MqttClientConnection = z
  .strictObject({
    url: address({ schemes, example: 'mqtt://localhost:1883' }).meta({
      description: 'Address of an external broker. Percent-encode special characters in a password, or use `password`.',
      examples: ['mqtt://localhost:1883'],
    }),
    clientId: z.string().min(1).optional().meta({
      description:
        'Prefix of the client ids; `-in` and `-out` are appended. Default: gateway id, dash, connection name.',
    }),
    clean: z.boolean().default(false).meta({
      description: 'Drops the session at every disconnect; messages that arrive meanwhile are lost.',
    }),
    sessionExpiry: duration().prefault('7d').meta({
      description: 'How long the broker keeps the session while the gateway is away (MQTT 5).',
    }),
    protocolVersion: z.literal([4, 5]).optional().meta({
      description: '5, or 4 for MQTT 3.1.1. Default: 5, falling back to 4 if the broker refuses it.',
    }),
    username: z.string().min(1).optional().meta({ description: 'User name.' }),
    password: secret().optional().meta({ description: 'Password; use ${env:…} or ${file:…}.', secret: true }),
    keepalive: duration().prefault('15s').meta({
      description:
        'Keep-alive: pings are sent twice per interval; after 1.5 intervals of silence the connection is closed.',
    }),
    will: will().optional().meta({ description: 'What the broker publishes if the gateway disconnects unexpectedly.' }),
    maxPacketSize: size().optional().meta({
      description:
        'Largest packet the broker accepts. An MQTT 3.1.1 broker cannot announce its limit and disconnects on a larger packet.',
    }),
    maxInFlight: maxInFlight().optional().meta({
      description:
        'Maximum unconfirmed messages of a sink. Default: 1024. Also the default `maxInFlight` of each `from`.',
    }),
    tls: tls().optional().meta({ description: 'TLS for mqtts and wss; an empty object trusts the system CAs.' }),
  })
  .meta({ title: 'With `url`: a client of an external broker' })
export type MqttClientConnection = z.output<typeof MqttClientConnection>

/** What the schema alone cannot see. */
export function clientProblems(connection: MqttClientConnection): SettingsProblem[] {
  const problems: SettingsProblem[] = []
  const { keepalive, will, tls } = connection
  problems.push(...passwordProblems(connection), ...tailProblems(connection.url))
  if (keepalive < 1_000 || keepalive > 65_535_000) {
    problems.push({ path: ['keepalive'], message: 'keepalive must be between 1s and 65535s' })
  }
  if (will !== undefined && topicProblem(will.topic) !== undefined) {
    problems.push({ path: ['will', 'topic'], message: topicProblem(will.topic) ?? '' })
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    problems.push({ path: ['tls'], message: 'a client certificate needs both `cert` and `key`' })
  }
  if (tls !== undefined && !/^(mqtts|wss):/i.test(connection.url)) {
    problems.push({ path: ['tls'], message: '`tls` requires a url with mqtts:// or wss://' })
  }
  if (tls?.identity !== undefined) {
    problems.push({ path: ['tls', 'identity'], message: '`identity` belongs to a connection with `listen`' })
  }
  return problems
}

/** Only a websocket has a path to ask for. */
function tailProblems(url: string): SettingsProblem[] {
  const { scheme, path, query } = parseAddress(url)
  if (scheme.startsWith('ws') || (path.length <= 1 && query === '')) return []
  const message = `an ${scheme}:// address ends after host and port; settings such as \`keepalive\` are separate keys`
  return [{ path: ['url'], message }]
}
