/** The body of a request, within its size and its time, and all of them within what this process bears. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Refusal, retryAfter } from './problem.ts'

export interface BodyLimits {
  readonly maxBytes: number
  /** Of all bodies together that are still coming in. */
  readonly maxTogetherBytes: number
  readonly deadlineMs: number
}

export class Bodies {
  readonly #limits: BodyLimits
  #bytes = 0

  constructor(limits: BodyLimits) {
    this.#limits = limits
  }

  /**
   * Rejects with a Refusal: 408, 411, 413, or 503 where others take all the room. Rejects with another error where the
   * sender has gone.
   */
  async read(request: IncomingMessage, response: ServerResponse): Promise<Buffer> {
    checkLength(request, this.#limits.maxBytes)
    if (request.headers.expect !== undefined) response.writeContinue()
    const chunks: Buffer[] = []
    let taken = 0
    try {
      await eachChunk(request, this.#limits.deadlineMs, (chunk) => {
        chunks.push(chunk)
        taken += chunk.byteLength
        this.#bytes += chunk.byteLength
        if (taken > this.#limits.maxBytes) throw tooLarge(this.#limits.maxBytes)
        if (this.#bytes > this.#limits.maxTogetherBytes) throw crowded()
      })
    } finally {
      this.#bytes -= taken
    }
    const [only] = chunks
    return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, taken)
  }
}

function checkLength({ headers }: IncomingMessage, maxBytes: number): void {
  const length = headers['content-length']
  if (length !== undefined && Number(length) > maxBytes) throw tooLarge(maxBytes)
  const hasBody = length !== undefined || headers['transfer-encoding'] !== undefined
  if (!hasBody && headers['content-type'] !== undefined) {
    const detail = 'the request names a content type, but neither Content-Length nor Transfer-Encoding'
    throw new Refusal({ status: 411, code: 'USAGE', detail })
  }
}

/** Resolves at the end of the body. Whatever ends it early leaves what still comes unread. */
function eachChunk(request: IncomingMessage, deadlineMs: number, onChunk: (chunk: Buffer) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => end(late(deadlineMs)), deadlineMs)
  const end = (error?: unknown) => {
    clearTimeout(timer)
    request.off('data', onData).off('end', end).off('close', onClose)
    if (error === undefined) resolve()
    else reject(error)
  }
  const onClose = () => end(new Error('the sender has gone before the end of the body'))
  const onData = (chunk: Buffer) => {
    try {
      onChunk(chunk)
    } catch (error) {
      end(error)
    }
  }
  request.on('error', () => {}) // `close` follows
  request.on('data', onData).once('end', end).once('close', onClose)
  return promise
}

const tooLarge = (maxBytes: number) =>
  new Refusal({ status: 413, code: 'MESSAGE_TOO_LARGE', detail: `a body has at most ${maxBytes} bytes` })
const crowded = () =>
  new Refusal({ status: 503, code: 'TARGET_BUSY', detail: 'too many bodies come in at once', headers: retryAfter })
const late = (ms: number) =>
  new Refusal({ status: 408, code: 'PEER_TIMEOUT', detail: `the body took longer than ${ms} ms` })
