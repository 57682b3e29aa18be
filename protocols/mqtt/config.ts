/** Settings of MQTT: a connection to an external broker (`url`) or the embedded broker (`listen`), `from` and `to`. */
import { z } from 'zod'
import { kinds } from '../../src/adapter/kinds.ts'
import type { SettingsProblem } from '../../src/adapter/protocol.ts'
import { refuse } from '../../src/adapter/schema.ts'
import { MqttBrokerConnection } from './broker/config.ts'
import { brokerProblems } from './broker/config-problems.ts'
import { clientProblems, MqttClientConnection } from './client/config.ts'
import { maxInFlight, qos } from './settings.ts'
import { patternProblem } from './topic.ts'

export const MqttConnection = kinds(
  { url: MqttClientConnection, listen: MqttBrokerConnection },
  {
    none: 'an mqtt connection requires `url` (an external broker) or `listen` (the embedded broker)',
    several: '`url` and `listen` are mutually exclusive: connect to a broker or be one',
    foreign: (key, teller) => `\`${key}\` belongs to a connection with \`${teller}\``,
  },
)
export type MqttConnection = MqttClientConnection | MqttBrokerConnection

export const isBroker = (connection: MqttConnection): connection is MqttBrokerConnection => 'listen' in connection

export const checkConnection = (connection: MqttConnection): readonly SettingsProblem[] =>
  isBroker(connection) ? brokerProblems(connection) : clientProblems(connection)

export const MqttFrom = z.strictObject({
  topic: z
    .string()
    .superRefine(refuse(patternProblem))
    .meta({
      description: 'Topic filter: `+` and `{name}` match one level, `#` and `{name#}` all remaining levels.',
      examples: ['sensors/{site}/+/telemetry'],
    }),
  qos: qos().default(1).meta({ description: 'Maximum QoS; with 0 messages can be lost.' }),
  maxInFlight: maxInFlight().optional().meta({
    description:
      'Maximum unsettled messages before reading pauses; for routes that share a source, the smallest value. Default: that of the connection, otherwise 1024, or 256 at an external broker if all these routes acknowledge `stored`.',
  }),
  share: z
    .string()
    .regex(/^[^/+#]+$/, { error: 'a share name must not contain /, + or #' })
    .optional()
    .meta({ description: 'Name of a shared subscription: gateways with the same name share the messages.' }),
})
export type MqttFrom = z.infer<typeof MqttFrom>

export const MqttTarget = z.strictObject({
  topic: z
    .string()
    .min(1)
    .meta({
      description: 'Topic; may contain {expressions}. `{params.rest}` of a `{rest#}` keeps its levels.',
      examples: ['alarms/{params.site}'],
    }),
  qos: qos().default(1).meta({ description: 'QoS; 0 is at most once: sent, never confirmed.' }),
  retain: z
    .union([z.boolean(), z.literal('source')])
    .default(false)
    .meta({
      description: 'Whether the broker retains the message; `source`: only if it arrived with the retain flag.',
    }),
})
export type MqttTarget = z.infer<typeof MqttTarget>
