/** Requests and replies as MQTT 5 has them: a response topic, and correlation data that say which request it was. */
import type { ReplyPlace } from '../../src/adapter/conversation.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import { PermanentError } from '../../src/errors.ts'
import { isBroker, type MqttConnection, type MqttTarget } from './config.ts'
import { topicDestination, topicProblem } from './topic.ts'

const scheme = 'mqtt:'

/** Why nobody at this connection has a response topic; undefined: the broker may speak MQTT 5. */
export function versionProblem(connection: MqttConnection): string | undefined {
  if (isBroker(connection)) return 'devices of the embedded broker speak MQTT 3.1.1, which has no reply address'
  return connection.protocolVersion === 4 ? 'MQTT 3.1.1 has no reply address' : undefined
}

/** The asker's response topic. Throws PermanentError where nobody may publish there: it is not asked then. */
export function replyTo(request: Envelope): MqttTarget | undefined {
  if (!request.replyTo?.startsWith(scheme)) return undefined
  const topic = request.replyTo.slice(scheme.length)
  const problem = topicProblem(topic)
  if (problem !== undefined) throw new PermanentError('DESTINATION_INVALID', `its response topic: ${problem}`)
  return { topic, qos: 1, retain: false }
}

/** Of this start of the gateway alone: nobody else's replies come there. */
export function replyTopicOf({ gatewayId, instance }: ReplyPlace): string {
  return `trivium/${topicDestination.encode(gatewayId)}/${instance}/replies`
}
