import type { Reply } from '../../adapter/contract.ts'
import type { ScatterSettings } from '../../config/schema/types.ts'
import { Envelope, HeaderBag } from '../../envelope/envelope.ts'
import { stringifyJson } from '../../envelope/json.ts'
import { isoText } from '../../envelope/time.ts'
import { uuidv7 } from '../../envelope/uuid.ts'
import { RetryableError } from '../../errors.ts'
import type { Aggregate } from '../../routing/reply.ts'
import type { Branch, Conversation } from './conversation.ts'
import { errorHeader, errorMessageHeader } from './error-envelope.ts'
import { errorReply, type Gathering, timedOut } from './gathering.ts'
import { toldError } from './told-error.ts'

/** The message that was scattered, in what came of it. */
const parentHeader = 'trivium-parent-id'

/** What one target said, as rules and askers see it. */
interface Result {
  /** `amqp://orders/quotes`. */
  readonly target: string
  readonly ok: boolean
  /** JSON; else text, else base64. */
  readonly payload?: unknown
  readonly error?: { readonly code: string; readonly message: string }
  readonly durationMs: number
}

/** Several targets: the answer tells what each said, in the order of `to`. One that fails does not end the others. */
export class Scatter implements Gathering {
  readonly #settings: ScatterSettings
  readonly #timeoutMs: number
  readonly #aggregate: Aggregate | undefined
  readonly #gatewayId: string

  constructor(parts: {
    settings: ScatterSettings
    timeoutMs: number
    aggregate: Aggregate | undefined
    gatewayId: string
  }) {
    this.#settings = parts.settings
    this.#timeoutMs = parts.timeoutMs
    this.#aggregate = parts.aggregate
    this.#gatewayId = parts.gatewayId
  }

  answerOf(conversation: Conversation, isLate: boolean): Reply | undefined {
    if (!isLate && !this.#isComplete(conversation)) return undefined
    const nowMs = performance.now()
    const results = conversation.branches.map((branch) => this.#resultOf(branch, nowMs))
    const good = results.filter(({ ok }) => ok).length
    if (good < this.#settings.minimum) return errorReply(this.#tooFew(results, good, isLate))
    return { kind: 'reply', envelope: this.#gathered(conversation, results, good) }
  }

  #isComplete({ branches }: Conversation): boolean {
    if (branches.every(({ end }) => end !== undefined)) return true
    const { complete } = this.#settings
    if (complete === 'all') return false
    const good = branches.filter(isGood).length
    const wanted = complete === 'first' ? 1 : complete === 'quorum' ? Math.floor(branches.length / 2) + 1 : complete
    return good >= wanted
  }

  #resultOf(branch: Branch, nowMs: number): Result {
    const { target, end } = branch
    const durationMs = Math.round((end === undefined ? nowMs : branch.endedMs) - branch.conversation.startedMs)
    if (end === undefined) return { target, ok: false, error: toldOf(timedOut(this.#timeoutMs)), durationMs }
    if ('error' in end) return { target, ok: false, error: toldOf(toldError(end.error)), durationMs }
    const { envelope } = end.reply
    const error = errorIn(envelope)
    return error === undefined
      ? { target, ok: true, payload: payloadOf(envelope), durationMs }
      : { target, ok: false, error, durationMs }
  }

  #tooFew(results: readonly Result[], good: number, isLate: boolean): RetryableError {
    const { minimum } = this.#settings
    const told = results.flatMap(({ target, error }) => (error === undefined ? [] : `${target}: ${error.message}`))
    const text = `${good} of ${results.length} targets gave a good answer, ${minimum} are needed; ${told.join('; ')}`
    return new RetryableError(isLate ? 'REPLY_TIMEOUT' : 'TOO_FEW_REPLIES', text)
  }

  #gathered({ message }: Conversation, results: readonly Result[], good: number): Envelope {
    const total = results.length
    const result = { results, success_count: good, total_count: total, partial: good < total }
    const headers = new HeaderBag()
    headers[parentHeader] = message.envelope.messageId
    const envelope = new Envelope({
      messageId: uuidv7(),
      timestamp: isoText(Date.now()),
      source: `trivium://${this.#gatewayId}`,
      contentType: 'application/json',
      headers,
      payload: Buffer.from(stringifyJson(result)),
    })
    const { params, receivedAt } = message
    return this.#aggregate?.({ envelope, params, receivedAt }) ?? envelope
  }
}

const toldOf = ({ code, message }: { readonly code: string; readonly message: string }) => ({ code, message })

const isGood = ({ end }: Branch): boolean =>
  end !== undefined && 'reply' in end && errorIn(end.reply.envelope) === undefined

/** A reply may say itself that it is none: it is broken, or another gateway's error in place of one. */
function errorIn({ malformed, headers }: Envelope): Result['error'] {
  if (malformed !== undefined) return toldOf(malformed)
  const code = headers[errorHeader]
  return code === undefined ? undefined : { code: String(code), message: String(headers[errorMessageHeader] ?? '') }
}

function payloadOf({ content }: Envelope): unknown {
  return content instanceof Uint8Array ? Buffer.from(content).toString('base64') : (content ?? null)
}
