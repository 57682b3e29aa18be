/** Requests and replies as AMQP has them: `reply_to` names a queue, `correlation_id` says which request it was. */
import type { ReplyPlace } from '../../src/adapter/conversation.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import { AmqpFromConfig, type AmqpTarget, AmqpTargetConfig } from './config.ts'

/** How long the queue outlives a gateway, or a lost connection, in milliseconds. */
const expiresMs = 600_000
const scheme = 'amqp:'

/** The asker's queue by way of the default exchange, which also has the pseudo-queues of direct replies. It is not ours to declare. */
export function replyTo(request: Envelope): AmqpTarget | undefined {
  if (!request.replyTo?.startsWith(scheme)) return undefined
  return AmqpTargetConfig.parse({ queue: request.replyTo.slice(scheme.length), declare: false })
}

/** Not exclusive, which would end with its connection: replies that come while the gateway connects again wait in it. */
export const replyQueueOf = ({ gatewayId, instance }: ReplyPlace): string => `trivium.replies.${gatewayId}.${instance}`

export function replyFrom(place: ReplyPlace): AmqpFromConfig {
  const declare = { durable: true, arguments: { 'x-expires': expiresMs } }
  return AmqpFromConfig.parse({ queue: replyQueueOf(place), declare, maxInFlight: 1_000 })
}
