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
    payload: z.string().default('').meta({ description: 'Body of the last will.' }),
    qos: qos().default(1).meta({ description: 'Quality of service of the last will.' }),
    retain: z.boolean().default(false).meta({ description: 'Whether the broker keeps the last will.' }),
  })

export const MqttClientConnection = z
  .strictObject({
    url: address({ schemes, example: 'mqtt://localhost:1883' }).meta({
      description:
        'Address of an external broker. What is no letter or digit in a password is percent-encoded, or stands under `password`.',
      examples: ['mqtt://localhost:1883'],
    }),
    clientId: z.string().min(1).optional().meta({
      description: 'Stem of the client ids: `-in` and `-out` are added. Default: gateway id, dash, connection name.',
    }),
    clean: z.boolean().default(false).meta({
      description: 'Forget the session at every disconnect, and lose what arrives meanwhile.',
    }),
    sessionExpiry: duration().prefault('7d').meta({
      description: 'How long the broker keeps the session of a gateway that is away (MQTT 5).',
    }),
    protocolVersion: z.literal([4, 5]).optional().meta({
      description: '5, or 4 for MQTT 3.1.1. Default: 5, or 4 where the broker refuses 5.',
    }),
    username: z.string().min(1).optional().meta({ description: 'User name.' }),
    password: secret().optional().meta({ description: 'Password; use ${env:…} or ${file:…}.', secret: true }),
    keepalive: duration().prefault('15s').meta({
      description: 'Pings leave twice in this time; after 1.5 times of silence the broker is given up.',
    }),
    will: will().optional().meta({ description: 'What the broker publishes when the gateway vanishes.' }),
    maxPacketSize: size().optional().meta({
      description:
        'Largest packet that the broker takes. A broker that speaks 3.1.1 cannot say so and hangs up on a larger one.',
    }),
    maxInFlight: maxInFlight().optional().meta({
      description:
        'Most unconfirmed messages of a sink; default 1024. Also the `maxInFlight` of each `from` that has none of its own.',
    }),
    tls: tls().optional().meta({ description: 'TLS of mqtts and wss; an empty object trusts the system authorities.' }),
  })
  .meta({ title: 'With `url`: a client of an external broker' })
export type MqttClientConnection = z.output<typeof MqttClientConnection>

/** What the schema alone cannot see. */
export function clientProblems(connection: MqttClientConnection): SettingsProblem[] {
  const problems: SettingsProblem[] = []
  const { keepalive, will, tls } = connection
  problems.push(...passwordProblems(connection), ...tailProblems(connection.url))
  if (keepalive < 1_000 || keepalive > 65_535_000) {
    problems.push({ path: ['keepalive'], message: 'keepalive lies between 1s and 65535s' })
  }
  if (will !== undefined && topicProblem(will.topic) !== undefined) {
    problems.push({ path: ['will', 'topic'], message: topicProblem(will.topic) ?? '' })
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    problems.push({ path: ['tls'], message: 'a client certificate needs both `cert` and `key`' })
  }
  if (tls !== undefined && !/^(mqtts|wss):/i.test(connection.url)) {
    problems.push({ path: ['tls'], message: '`tls` needs a url with mqtts:// or wss://' })
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
  const message = `an ${scheme}:// address ends with host and port; settings such as \`keepalive\` are keys of their own`
  return [{ path: ['url'], message }]
}
