/** One request and its answer, with one deadline for both. */
import type { Agent, Dispatcher } from 'undici'
import { messageOf, RetryableError } from '../../../src/errors.ts'

export interface Request {
  readonly method: Dispatcher.HttpMethod
  readonly origin: string
  readonly path: string
  /** Name and value in turn. */
  readonly headers: string[]
  /** Undefined: the method has none. */
  readonly body: Uint8Array | undefined
  readonly timeoutMs: number
  /** The host was chosen by a message: only public addresses are connected to. */
  readonly isGuarded: boolean
  /** Bytes of the answer's body that are wanted; 0: the status says all, and what follows is not waited for. */
  readonly wantedBytes: number
}

export interface Answer {
  readonly status: number
  /** Name and value in turn, as they came. */
  readonly headers: readonly string[]
  /** At most `wantedBytes`, of an answer that is no success at least the beginning. */
  readonly body: Buffer
  /** The body was longer than what is wanted. */
  readonly isCut: boolean
}

/** So much of a refusal is read, wanted or not: it says why. */
const reasonBytes = 1_024
/** So much is read on for nothing, that the connection may be used again. */
const spareBytes = 64 * 1_024

const empty = Buffer.alloc(0)
/** No error, and one for all: to make one costs more than the request. */
const complete = new Error('the answer is complete')

/** Of the answer only so much is held in memory as is wanted, whatever the server sends. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: Request
  readonly #answer = Promise.withResolvers<Answer>()
  readonly #chunks: Buffer[] = []
  #controller: Dispatcher.DispatchController | undefined
  #timer: NodeJS.Timeout | undefined
  /** The exchange has ended, on the wire too. */
  #over: Error | undefined
  /** Whoever waits has the answer. */
  #isSettled = false
  #status = 0
  #headers: readonly string[] = []
  #wanted = 0
  #read = 0

  constructor(request: Request) {
    this.#request = request
  }

  async run(agent: Agent, signal: AbortSignal): Promise<Answer> {
    const { origin, path, method, headers, body, timeoutMs } = this.#request
    const late = () => this.#end(new RetryableError('PEER_TIMEOUT', `no answer within ${timeoutMs} ms`))
    this.#timer = setTimeout(late, timeoutMs).unref()
    const stop = () => this.#end(new RetryableError('PEER_LOST', 'the connection was closed here'))
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    else agent.dispatch({ origin, path, method, headers, body: body ?? null }, this)
    try {
      return await this.#answer.promise
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#over !== undefined) controller.abort(this.#over)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return
    const { wantedBytes } = this.#request
    this.#status = status
    this.#headers = textsOf(controller.rawHeaders)
    this.#wanted = status < 300 ? wantedBytes : Math.max(wantedBytes, reasonBytes)
    if (this.#wanted === 0) this.#settle(false)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const room = Math.max(0, this.#wanted - this.#read)
    if (room > 0) this.#chunks.push(chunk.subarray(0, room))
    this.#read += chunk.length
    if (this.#read <= this.#wanted) return
    this.#settle(true)
    if (this.#read > this.#wanted + spareBytes) this.#end(new Error('the answer is too long'))
  }

  onResponseEnd(): void {
    this.#end(complete, false)
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#end(this.#status === 0 ? error : brokenOff(this.#status, error))
  }

  /** Its end on the wire; whoever waits has the answer by then, or gets what is there of it. */
  #end(error: Error, isCut = true): void {
    if (this.#over !== undefined) return
    this.#over = error
    clearTimeout(this.#timer)
    if (!isCut || this.#status >= 300) this.#settle(isCut)
    else this.#answer.reject(error)
    if (isCut) this.#controller?.abort(error)
  }

  #settle(isCut: boolean): void {
    if (this.#isSettled) return
    this.#isSettled = true
    const body = this.#chunks.length === 0 ? empty : Buffer.concat(this.#chunks)
    this.#answer.resolve({ status: this.#status, headers: this.#headers, body, isCut })
  }
}

function brokenOff(status: number, cause: Error): RetryableError {
  if (cause instanceof RetryableError) return cause
  const text = `the answer ${status} broke off: ${messageOf(cause)}`
  return new RetryableError('DESTINATION_UNAVAILABLE', text, { cause })
}

function textsOf(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  return Array.isArray(raw) ? raw.map((text) => (typeof text === 'string' ? text : text.toString('latin1'))) : []
}
