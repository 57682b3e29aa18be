/** A request from the moment it is asked until its asker has the answer. One with a single target has one branch. */
import type { Ask, Settlement } from '../../adapter/contract.ts'
import type { Envelope } from '../../envelope/envelope.ts'
import type { GatewayError } from '../../errors.ts'
import type { Params } from '../../routing/subject.ts'
import type { Message } from '../message.ts'
import type { AnswerPlace } from './asker.ts'
import type { ReplyLink } from './reply-link.ts'

/** A reply as it was heard, and the one way back to where. */
export interface HeardReply {
  readonly envelope: Envelope
  /** What its address captured, where the route says where replies are read. */
  readonly params: Params
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  settle(settlement: Settlement): void
}

/** What became of one branch. */
export type BranchEnd = { readonly reply: HeardReply } | { readonly error: GatewayError }

/** A request on its way to one target, and its reply on the way back. */
export class Branch implements Ask {
  readonly conversation: Conversation
  /** The place of its target in the route's `to`. */
  readonly index: number
  readonly token: string
  /** `amqp://orders/quotes`. */
  readonly target: string
  /** Where its reply is heard; undefined: the target answers on the spot. */
  readonly link: ReplyLink | undefined
  isOver = false
  /** The target has it, or will never get it. */
  isSent = false
  end: BranchEnd | undefined
  /** Of `performance.now()`. */
  endedMs = 0

  constructor(
    conversation: Conversation,
    parts: { index: number; token: string; target: string; link: ReplyLink | undefined },
  ) {
    this.conversation = conversation
    this.index = parts.index
    this.token = parts.token
    this.target = parts.target
    this.link = parts.link
  }

  get replyTo(): string | undefined {
    return this.link?.address
  }
}

export class Conversation {
  readonly number: number
  readonly message: Message
  readonly place: AnswerPlace
  /** Of `performance.now()`. */
  readonly startedMs: number
  readonly branches: Branch[] = []

  constructor(parts: { number: number; message: Message; place: AnswerPlace; startedMs: number }) {
    this.number = parts.number
    this.message = parts.message
    this.place = parts.place
    this.startedMs = parts.startedMs
  }

  /** The replies it has. */
  get replies(): HeardReply[] {
    return this.branches.flatMap(({ end }) => (end !== undefined && 'reply' in end ? [end.reply] : []))
  }
}
