/** Requests and replies as AMQP has them: `reply_to` names a queue, `correlation_id` says which request it was. */
import type { ReplyPlace } from '../../src/adapter/conversation.ts'
import type { Envelope } from '../../src/envelope/envelope.ts'
import { PermanentError } from '../../src/errors.ts'
import { AmqpFromConfig, type AmqpTarget, AmqpTargetConfig } from './config.ts'
import { shortStringProblem } from './destination.ts'

/** How long the queue outlives a gateway, or a lost connection, in milliseconds. */
const expiresMs = 600_000
const scheme = 'amqp:'

/** RabbitMQ's pseudo-queues: what goes there is delivered and yet returned as unroutable, https://www.rabbitmq.com/docs/direct-reply-to */
const direct = 'amq.rabbitmq.reply-to'

/** The asker's queue, by way of the default exchange. It is not ours to declare. */
export function replyTo(request: Envelope): AmqpTarget | undefined {
  if (!request.replyTo?.startsWith(scheme)) return undefined
  const queue = request.replyTo.slice(scheme.length)
  const problem = shortStringProblem(queue, 1)
  if (problem !== undefined)
    throw new PermanentError('DESTINATION_INVALID', `the queue of its reply address: ${problem}`)
  return AmqpTargetConfig.parse({ queue, declare: false, mandatory: !queue.startsWith(direct) })
}

/** Not exclusive, which would end with its connection: replies that come while the gateway connects again wait in it. */
export const replyQueueOf = ({ gatewayId, instance }: ReplyPlace): string => `trivium.replies.${gatewayId}.${instance}`

export function replyFrom(place: ReplyPlace): AmqpFromConfig {
  const declare = { durable: true, arguments: { 'x-expires': expiresMs } }
  return AmqpFromConfig.parse({ queue: replyQueueOf(place), declare, maxInFlight: 1_000 })
}
