import type { Log, Reply } from '../../adapter/contract.ts'
import { Summary } from '../../adapter/summary.ts'
import { Waiting } from '../../adapter/waiting.ts'
import { type GatewayError, PermanentError } from '../../errors.ts'
import type { ExchangeStats } from '../../telemetry/stats.ts'
import { reasonOf } from '../dead-letters/dead-letter.ts'
import type { Dead, DeadLetterOffice } from '../dead-letters/office.ts'
import type { Ending as HowItEnds, Message, Place } from '../message.ts'
import type { AnswerPlace, Asker } from './asker.ts'
import type { Conversation, HeardReply } from './conversation.ts'
import { errorReply } from './gathering.ts'

/** Of a message that failed before it came to a target, and of a reply. */
const noPlace: Place = { attempts: 0, target: undefined, bit: undefined }

/**
 * The last part of a conversation: its asker is told, then its replies and its source are settled, once. Nothing is settled
 * before the asker's confirmation is there, or what nobody can be given is on disk.
 */
export class Ending {
  readonly #route: string
  readonly #asker: Asker
  readonly #deadLetters: DeadLetterOffice
  readonly #exchange: ExchangeStats
  readonly #isDropping: boolean
  readonly #log: Log
  readonly #dropped: Summary
  /** Called for each conversation that has ended. */
  readonly #ended: () => void
  readonly #idle = new Waiting()
  #underWay = 0

  constructor(parts: {
    route: string
    asker: Asker
    deadLetters: DeadLetterOffice
    exchange: ExchangeStats
    /** A reply that nobody waits for is counted and no more. */
    isDropping: boolean
    log: Log
    ended: () => void
  }) {
    this.#route = parts.route
    this.#asker = parts.asker
    this.#deadLetters = parts.deadLetters
    this.#exchange = parts.exchange
    this.#isDropping = parts.isDropping
    this.#log = parts.log
    this.#ended = parts.ended
    this.#dropped = new Summary((count) => this.#sayDropped(`${count} more replies dropped within a minute`))
  }

  /** Its asker gets this. */
  answer(conversation: Conversation, answer: Reply): void {
    this.#run(conversation.message, () => this.#tell(conversation, answer))
  }

  /** It is a dead letter, and its asker hears why. */
  failed(message: Message, dead: Omit<Dead, 'message'>, place: AnswerPlace | undefined): void {
    this.#run(message, async () => {
      const telling = place && this.#asker.answer(message, place, errorReply(dead.error))
      const [ending] = await Promise.all([this.#bury({ message, ...dead }), telling])
      return ending
    })
  }

  /** Its replies cannot be given to anybody: its asker hears why. */
  unreadable(conversation: Conversation, error: GatewayError): void {
    const { message, place, replies } = conversation
    this.#run(message, async () => {
      const text = `the reply cannot be used: ${error.message}`
      const told = await this.#asker.answer(message, place, errorReply(new PermanentError('PEER_FAILED', text)))
      return told.kind === 'released' ? this.#release(replies) : this.#keep(replies, error)
    })
  }

  /** It goes nowhere: its asker hears so. */
  filtered(message: Message, place: AnswerPlace | undefined): void {
    this.#run(message, async () => {
      if (place !== undefined) await this.#asker.answer(message, place, errorReply(unwanted))
      return 'filtered'
    })
  }

  /** It is not asked: its asker hears why, and may come again. */
  turnedAway(message: Message, answer: Reply): void {
    this.#run(message, async () => {
      await this.#asker.answer(message, 'open', answer)
      return 'released'
    })
  }

  /** The gateway stops: its source gives it again. */
  released({ message, replies }: Conversation): void {
    this.#run(message, async () => this.#release(replies))
  }

  late(reply: HeardReply): void {
    this.#exchange.late += 1
    this.#discard(reply, new PermanentError('REPLY_UNEXPECTED', 'the reply came too late: nobody waits for it'))
  }

  unknown(reply: HeardReply): void {
    this.#exchange.unknown += 1
    this.#discard(reply, new PermanentError('REPLY_UNEXPECTED', 'the reply names no request of this gateway'))
  }

  /** Resolves when nothing is under way. */
  async whenIdle(): Promise<void> {
    await this.#idle.until(() => this.#underWay === 0)
    this.#dropped.close()
  }

  async #tell(conversation: Conversation, answer: Reply): Promise<HowItEnds> {
    const { message, place, replies } = conversation
    const told = await this.#asker.answer(message, place, answer)
    if (told.kind === 'released') return this.#release(replies)
    if (told.kind === 'refused') return await this.#refused(conversation, answer, told.error)
    this.#exchange.returned += replies.length
    for (const reply of replies) reply.settle('accept')
    return 'delivered'
  }

  /** Of a reply that its asker cannot have it hears at least that; what it does not hear is kept. */
  async #refused({ message, place, replies }: Conversation, answer: Reply, error: GatewayError): Promise<HowItEnds> {
    if (answer.kind === 'error') {
      this.#keep(replies, gone(error))
      return this.#isDropping ? 'delivered' : await this.#bury({ message, error: answer.error, place: noPlace })
    }
    const second = await this.#asker.answer(message, place, errorReply(error))
    if (second.kind === 'released') return this.#release(replies)
    return this.#keep(replies, second.kind === 'told' ? error : gone(error))
  }

  #release(replies: readonly HeardReply[]): HowItEnds {
    this.#exchange.late += replies.length
    for (const reply of replies) reply.settle('release')
    return 'released'
  }

  #keep(replies: readonly HeardReply[], error: GatewayError): HowItEnds {
    this.#exchange.late += replies.length
    for (const reply of replies) this.#discard(reply, error)
    return 'delivered'
  }

  #discard(reply: HeardReply, error: GatewayError): void {
    if (this.#isDropping && error.code === 'REPLY_UNEXPECTED') {
      if (this.#dropped.isFirst()) this.#sayDropped(`a reply was dropped: ${error.message}`)
      return reply.settle('accept')
    }
    const { envelope, params, receivedAt } = reply
    const message = { envelope, params, receivedAt, requeues: 0 }
    this.#deadLetters.bury(
      { message, error, place: noPlace },
      {
        safe: () => reply.settle('reject'),
        released: () => reply.settle('release'),
        held: () => envelope.ownBytes(),
      },
    )
  }

  /** Resolves when its letter is on disk, or the gateway stops without one. */
  #bury(dead: Dead & { readonly message: Message }): Promise<HowItEnds> {
    const { promise, resolve } = Promise.withResolvers<HowItEnds>()
    this.#deadLetters.bury(dead, {
      safe: () => resolve(reasonOf(dead.error)),
      released: () => resolve('released'),
      held() {
        dead.message.envelope.ownBytes()
        dead.message.waits()
      },
    })
    return promise
  }

  #run(message: Message, work: () => Promise<HowItEnds>): void {
    this.#underWay += 1
    void work().then((ending) => {
      message.end(ending, performance.now())
      this.#underWay -= 1
      this.#ended()
      if (this.#underWay === 0) this.#idle.wake()
    })
  }

  #sayDropped(text: string): void {
    this.#log.warn(`route ${this.#route}: ${text}`, { route: this.#route, code: 'REPLY_UNEXPECTED' })
  }
}

const unwanted = new PermanentError('MESSAGE_UNWANTED', 'the rules of the route let the request go nowhere')

const gone = ({ message }: GatewayError) =>
  new PermanentError('REPLY_UNEXPECTED', `its asker cannot be reached any more: ${message}`)
