/** What nobody can read becomes one message, for the dead letters: reading goes on behind it. */
import { Envelope } from '../../src/envelope/envelope.ts'
import { isoText } from '../../src/envelope/time.ts'
import { PermanentError } from '../../src/errors.ts'
import type { InBatch } from './client/record-set.ts'
import type { KafkaPlace } from './codec.ts'

/** A batch, or the rest of one from a record on that cannot be read. */
export interface Unreadable {
  readonly firstOffset: number
  /** The last of it. */
  readonly offset: number
  readonly batch: InBatch
  readonly reason: string
}

export function isUnreadable(item: object): item is Unreadable {
  return 'reason' in item
}

/** Its payload is the whole batch as the broker keeps it, so that nothing of it is gone. */
export function unreadableEnvelope({ firstOffset, offset, batch, reason }: Unreadable, at: KafkaPlace): Envelope {
  const offsets = firstOffset === offset ? `${offset}` : `${firstOffset}-${offset}`
  const place = `${at.topic}/${at.partition}/${offsets}`
  const text = `${place} cannot be read: ${reason}; the payload is its record batch as the broker keeps it`
  return new Envelope({
    messageId: place,
    timestamp: isoText(batch.firstTimestamp),
    source: `kafka://${at.connection}/${at.topic}`,
    payload: Buffer.from(batch.bytes), // its own, not the whole response's
    malformed: new PermanentError('MESSAGE_MALFORMED', text),
  })
}
