/** Events as they are on the wire: https://html.spec.whatwg.org/multipage/server-sent-events.html. Pure. */
import { isUtf8 } from 'node:buffer'
import type { Outbound } from '../../../src/adapter/contract.ts'
import { isEncoded } from '../../../src/envelope/content-encoding.ts'
import type { Envelope } from '../../../src/envelope/envelope.ts'
import { remainingMs } from '../../../src/envelope/expiry.ts'
import { encodeStructured, isStructured } from '../../../src/envelope/formats.ts'
import { bytesOf } from '../../../src/envelope/typed.ts'
import { PermanentError } from '../../../src/errors.ts'

export const eventStream = 'text/event-stream'

/** How long a reader waits before it comes back, in milliseconds. */
const retryMs = 2_000
export const greeting = Buffer.from(`retry: ${retryMs}\n\n`)
export const heartbeat = Buffer.from(':\n\n')

/** Throws a PermanentError and nothing else. */
export function frameOf({ envelope, format, hops }: Omit<Outbound, 'target'>): Buffer {
  remainingMs(envelope, Date.now()) // throws where nothing is left
  const { messageId, eventType } = envelope
  return frame({ id: messageId, event: eventType, data: dataOf(envelope, format, hops) })
}

/** Without an id: a reader that loses its connection again asks for the same. */
export function gapFrame(lastEventId: string): Buffer {
  return frame({ event: 'trivium-gap', data: JSON.stringify({ lastEventId }) })
}

interface Fields {
  readonly id?: string | undefined
  readonly event?: string | undefined
  readonly data: string
}

function frame({ id, event, data }: Fields): Buffer {
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`)
  const idLine = id === undefined ? '' : `id: ${idText(id)}\n`
  const eventLine = event === undefined ? '' : `event: ${fieldText(event)}\n`
  return Buffer.from(`${idLine}${eventLine}${lines.join('')}\n`)
}

/** Text for a reader: bytes that are none go as an envelope, which has them in base64. */
function dataOf(envelope: Envelope, format: Outbound['format'], hops: string | undefined): string {
  if (isStructured(format)) return encodeStructured(envelope, format, hops).toString()
  const payload = bytesOf(envelope.payload ?? noBytes)
  if (isUtf8(payload) && !isEncoded(envelope.headers)) return payload.toString()
  if (format === 'raw') throw new PermanentError('MESSAGE_MALFORMED', 'events are text: the payload is no UTF-8')
  return encodeStructured(envelope, 'envelope', hops).toString()
}

const noBytes = new Uint8Array()

/** As a reader gives an id back in `Last-Event-ID`: no control characters, no spaces at the ends. */
export const idText = (id: string): string => fieldText(id).replaceAll(/^ | $/g, '%20')

const fieldText = (text: string): string => text.toWellFormed().replaceAll(/\p{Cc}/gu, encodeURIComponent)
