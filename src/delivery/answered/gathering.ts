import type { Reply } from '../../adapter/contract.ts'
import { type GatewayError, RetryableError } from '../../errors.ts'
import type { CompiledReply } from '../../routing/reply.ts'
import type { Conversation, HeardReply } from './conversation.ts'

/** What comes of the branches of a conversation. */
export interface Gathering {
  /**
   * The answer; undefined: it goes on waiting. `isLate`: its time is over, there is an answer in any case. Throws PermanentError
   * where one cannot be made of the replies.
   */
  answerOf(conversation: Conversation, isLate: boolean): Reply | undefined
}

/** A single target: its reply is the answer, and so is its error. */
export class Single implements Gathering {
  readonly #reply: CompiledReply
  readonly #timeoutMs: number

  constructor(reply: CompiledReply, timeoutMs: number) {
    this.#reply = reply
    this.#timeoutMs = timeoutMs
  }

  answerOf({ branches, message }: Conversation, isLate: boolean): Reply | undefined {
    const end = branches[0]?.end
    if (end === undefined) return isLate ? errorReply(timedOut(message.answerWithinMs ?? this.#timeoutMs)) : undefined
    return 'error' in end ? errorReply(end.error) : this.#changed(end.reply, message.params)
  }

  #changed(reply: HeardReply, params: HeardReply['params']): Reply {
    return { kind: 'reply', envelope: this.#reply.change(reply, params) }
  }
}

export const errorReply = (error: GatewayError): Reply => ({ kind: 'error', error })

export const timedOut = (ms: number) => new RetryableError('REPLY_TIMEOUT', `no reply came within ${ms} ms`)
