/** What is kept on disk of a request that is answered later, and of its answer: a line of JSON, then the bytes. Pure. */
import type { Envelope } from '../../../src/envelope/envelope.ts'
import { encodeStructured, mediaTypes } from '../../../src/envelope/formats.ts'
import { decode } from '../codec.ts'
import type { WholeAnswer } from '../listener/answer.ts'

export interface LaterRequest {
  readonly method: string
  /** The path, decoded. */
  readonly address: string
  readonly envelope: Envelope
}

const lineEnd = 0x0a

/** Throws a PermanentError for headers nested too deep. */
export function packRequest({ method, address, envelope }: LaterRequest): Buffer {
  return pack({ method, address }, encodeStructured(envelope, 'envelope'))
}

export function unpackRequest(value: Uint8Array, connection: string): LaterRequest {
  const { head, body } = unpack<Pick<LaterRequest, 'method' | 'address'>>(value)
  const { method, address } = head
  const headers = ['content-type', mediaTypes.envelope]
  return { method, address, envelope: decode({ headers, body }, { connection, address, format: 'envelope' }) }
}

export function packAnswer({ status, headers, body }: WholeAnswer): Buffer {
  return pack({ status, headers }, Buffer.from(body))
}

export function unpackAnswer(value: Uint8Array): WholeAnswer {
  const { head, body } = unpack<Omit<WholeAnswer, 'body'>>(value)
  return { ...head, body }
}

const pack = (head: object, body: Uint8Array) => Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), body])

function unpack<Head>(value: Uint8Array): { readonly head: Head; readonly body: Uint8Array } {
  const end = value.indexOf(lineEnd)
  const head = JSON.parse(Buffer.from(value.subarray(0, end)).toString()) as Head
  return { head, body: value.subarray(end + 1) }
}
