import type { Channel, ConsumeMessage } from 'amqplib'
import { withDeadline } from '../../src/adapter/deadline.ts'
import { RetryableError } from '../../src/errors.ts'
import { type AmqpConnection, callDeadlineMs } from './client/connection.ts'
import { closeQuietly, depthOf } from './client/topology.ts'
import { toGatewayError } from './errors.ts'
import { offsetIn, streamArgument } from './stream.ts'
import { Subscription } from './subscription.ts'

/** A stream with messages gives its last chunk at once. */
const silenceMs = 5_000
/** A chunk is sent in one go: what does not follow within this time is not there. */
const pauseMs = 500
/** The most that AMQP can say; a chunk has fewer messages. */
const maxPrefetch = 65_535

/**
 * True where the stream has a message at `offset` or behind it, as its last chunk tells. How many messages there are does
 * not tell it: retention takes the oldest away. Rejects with a PEER_TIMEOUT where the broker counts messages and gives none.
 */
export async function reaches(connection: AmqpConnection, queue: string, offset: number): Promise<boolean> {
  const doing = `looking for the end of stream ${queue}`
  const channel = await connection.openChannel()
  try {
    const last = await withDeadline(lastOffset({ channel, queue, enough: offset }), callDeadlineMs, doing)
    if (last !== undefined) return last >= offset
    if ((await depthOf(connection, queue)) === 0) return false
    throw new RetryableError('PEER_TIMEOUT', `${doing}: the broker gives none of its messages`)
  } catch (error) {
    throw toGatewayError(error, doing)
  } finally {
    closeQuietly(channel)
  }
}

/** Of the last chunk, or the first that is `enough`; undefined: nothing came. */
async function lastOffset(of: { channel: Channel; queue: string; enough: number }): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  let last: number | undefined
  const end = () => resolve(last)
  let timer = setTimeout(end, silenceMs)
  const receive = (message: ConsumeMessage | null) => {
    if (message !== null) last = Math.max(offsetIn(message) ?? 0, last ?? 0)
    clearTimeout(timer)
    if (message === null || (last ?? 0) >= of.enough) return end()
    timer = setTimeout(end, pauseMs)
  }
  const argumentsOf = () => ({ [streamArgument]: 'last' })
  await new Subscription({ channel: of.channel, queue: of.queue, argumentsOf, receive }).consume(maxPrefetch)
  return promise
}
