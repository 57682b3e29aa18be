/**
 * One request and its one answer.
 *
 *   taken -> all its messages settled -> answered 202, 200, 422 or 503
 *        `-> its asker's reply        -> answered with that
 *        `-> deadline                 -> answered 504; what comes later answers nothing
 */
import type { ServerResponse } from 'node:http'
import { delivered, type Outcome, type Reply, rejected, type Settlement } from '../../../src/adapter/contract.ts'
import { unsendable } from '../../../src/adapter/outcomes.ts'
import { PermanentError } from '../../../src/errors.ts'
import { answerTo, deadLettered, jsonAnswer } from './answer.ts'
import { type Answer, type Problem, retryAfter, writeAnswer, writeProblem } from './problem.ts'

export interface CallOptions {
  readonly deadlineMs: number
  /** Its messages are settled once they are on disk: 202, not 200. */
  readonly isStored: boolean
  /** A batch is told of each of its messages. */
  readonly isBatch: boolean
  /** Success is 204, without a body. */
  readonly isSilent?: boolean | undefined
  /** Answered, or its asker has gone. */
  onOver(call: Call): void
  /** It was not taken after all, and is to come again. */
  onReleased(): void
}

/** The first that occurs is that of the whole. */
const worstFirst: readonly Settlement[] = ['release', 'reject', 'accept']
const words: Readonly<Record<Settlement, string>> = { accept: 'accepted', release: 'released', reject: 'dead-lettered' }

export class Call {
  readonly #response: ServerResponse
  readonly #ids: readonly string[]
  readonly #options: CallOptions
  readonly #settlements: Settlement[] = []
  readonly #timer: NodeJS.Timeout
  #left: number
  #isOver = false

  /** `ids`: of its messages. */
  constructor(response: ServerResponse, ids: readonly string[], options: CallOptions) {
    this.#response = response
    this.#ids = ids
    this.#options = options
    this.#left = ids.length
    this.#timer = setTimeout(() => this.#late(), options.deadlineMs)
    response.once('close', () => this.#over())
  }

  get isOfOne(): boolean {
    return this.#ids.length === 1
  }

  /** What became of its message `index`. */
  settled(index: number, settlement: Settlement): void {
    this.#settlements[index] = settlement
    this.#left -= 1
    if (this.#left > 0) return
    const all = worstFirst.find((each) => this.#settlements.includes(each)) ?? 'accept'
    if (all === 'release') this.#options.onReleased()
    if (all === 'accept') this.accepted()
    else this.#problem({ ...(all === 'reject' ? deadLettered : released), more: this.#receipt() })
  }

  accepted(): void {
    if (this.#options.isSilent) return this.#write(204, { headers: [], body: '' })
    const answer = jsonAnswer(this.#options.isStored ? 202 : 200, this.#receipt())
    this.#write(answer.status, answer)
  }

  /** See `Delivery.answer`. */
  async reply(reply: Reply): Promise<Outcome> {
    if (this.#isOver) return rejected(gone())
    try {
      const answer = answerTo(reply)
      this.#write(answer.status, answer)
    } catch (error) {
      return unsendable(error)
    }
    return (await isSent(this.#response, this.#options.deadlineMs)) ? delivered : rejected(gone())
  }

  /** The listener closes: nobody will say any more what becomes of it. */
  abandon(): void {
    const detail = 'the gateway stops; what became of this is not known, send it again'
    this.#problem({ status: 503, code: 'GATEWAY_STOPPING', detail, headers: retryAfter })
  }

  #receipt(): object {
    if (!this.#options.isBatch) return { messageId: this.#ids[0] }
    const outcomeOf = (index: number) => words[this.#settlements[index] ?? 'accept']
    return { messages: this.#ids.map((messageId, index) => ({ messageId, outcome: outcomeOf(index) })) }
  }

  #late(): void {
    const detail = `not safe within ${this.#options.deadlineMs} ms; it goes on, and may arrive twice if it is sent again`
    this.#problem({ status: 504, code: 'PEER_TIMEOUT', detail, headers: retryAfter })
  }

  #problem(problem: Problem): void {
    if (this.#isOver) return
    writeProblem(this.#response, problem)
    this.#over()
  }

  #write(status: number, answer: Answer): void {
    if (this.#isOver) return
    writeAnswer(this.#response, status, answer)
    this.#over()
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#options.onOver(this)
  }
}

const released = { status: 503, code: 'TARGET_BUSY', detail: 'not taken; send it again', headers: retryAfter } as const
const gone = () => new PermanentError('REPLY_UNEXPECTED', 'whoever asked by HTTP waits no more')

/** True once all of it was handed to the system, false where its connection has ended or takes nothing for so long. */
async function isSent(response: ServerResponse, withinMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => response.destroy(), withinMs)
  response.once('finish', () => resolve(true)).once('close', () => resolve(response.writableFinished))
  if (response.writableFinished || response.destroyed) resolve(response.writableFinished)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}
