import type { Channel } from 'amqplib'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { RetryableError } from '../../../src/errors.ts'
import { type AmqpFromConfig, bindingKey, type QueueDeclaration } from '../config.ts'
import { toGatewayError } from '../errors.ts'
import { type AmqpConnection, callDeadlineMs } from './connection.ts'

export type ExchangeType = 'direct' | 'fanout' | 'topic' | 'headers'
type Declare = boolean | QueueDeclaration

/** Resolves when the queue is there; declares it only if it is missing, so that an existing one is used as it is. */
export async function ensureQueue(connection: AmqpConnection, queue: string, declare: Declare): Promise<void> {
  const exists = await isThere(connection, `queue ${queue}`, (channel) => channel.checkQueue(queue))
  if (exists) return
  if (declare === false) throw new RetryableError('NOT_FOUND', `there is no queue ${queue}; declare: true makes one`)
  await onChannel(connection, `declaring queue ${queue}`, (channel) =>
    channel.assertQueue(queue, queueOptions(declare)),
  )
}

/** Resolves when the exchange is there; declares it, durable, if it is missing and a type is given. */
export async function ensureExchange(connection: AmqpConnection, exchange: string, type?: ExchangeType): Promise<void> {
  const exists = await isThere(connection, `exchange ${exchange}`, (channel) => channel.checkExchange(exchange))
  if (exists) return
  if (type === undefined) {
    throw new RetryableError('NOT_FOUND', `there is no exchange ${exchange}; exchangeType makes one`)
  }
  await onChannel(connection, `declaring exchange ${exchange}`, (channel) => channel.assertExchange(exchange, type))
}

/** Makes the source's queue and bindings ready. */
export async function prepareSource(connection: AmqpConnection, froms: readonly AmqpFromConfig[]): Promise<void> {
  for (const { queue, declare, bind } of froms) {
    await ensureQueue(connection, queue, declare)
    if (bind === undefined) continue
    await ensureExchange(connection, bind.exchange, bind.exchangeType)
    await onChannel(connection, `binding ${queue} to ${bind.exchange}`, (channel) =>
      channel.bindQueue(queue, bind.exchange, bindingKey(bind.routingKey), bind.arguments ?? {}),
    )
  }
}

/** How many messages the queue has ready; of a stream, all that it has. */
export async function depthOf(connection: AmqpConnection, queue: string): Promise<number> {
  return (await onChannel(connection, `looking at ${queue}`, (channel) => channel.checkQueue(queue))).messageCount
}

async function isThere(connection: AmqpConnection, what: string, check: (channel: Channel) => Promise<unknown>) {
  try {
    await onChannel(connection, `looking for ${what}`, check)
    return true
  } catch (error) {
    if (error instanceof RetryableError && error.code === 'NOT_FOUND') return false
    throw error
  }
}

/** Runs one call on a channel of its own, since a refusal closes the channel. */
async function onChannel<T>(
  connection: AmqpConnection,
  doing: string,
  call: (channel: Channel) => Promise<T>,
): Promise<T> {
  const channel = await connection.openChannel()
  try {
    return await withDeadline(call(channel), callDeadlineMs, doing)
  } catch (error) {
    throw toGatewayError(error, doing)
  } finally {
    closeQuietly(channel)
  }
}

/** Closes without waiting; a channel the broker has closed already throws at once. */
export function closeQuietly(channel: Channel): void {
  try {
    channel.close().catch(() => {})
  } catch {}
}

function queueOptions(declare: true | QueueDeclaration) {
  if (declare === true) return { durable: true }
  const type = declare.type === undefined ? {} : { 'x-queue-type': declare.type }
  return { durable: declare.durable, arguments: { ...declare.arguments, ...type } }
}
