/** The answer to a request as a message of its own. Pure. */
import { type Envelope, HeaderBag } from '../../../src/envelope/envelope.ts'
import { decode, type HttpPlace } from '../codec.ts'
import type { Answer } from './exchange.ts'

/** Its status is a header, as replies name one for the asker that calls by HTTP. */
export function replyOf({ status, headers, body }: Answer, place: HttpPlace): Envelope {
  const reply = decode({ headers, body }, place)
  return reply.with({ headers: Object.assign(new HeaderBag(), reply.headers, { status }) })
}
