/** Requests whose answers are fetched later, as a source: on disk first, then asked when there is room for them. */
import type { Budget } from '../../../src/adapter/budget.ts'
import {
  type Context,
  type Deliver,
  delivered,
  type Outcome,
  type Reply,
  type Settlement,
} from '../../../src/adapter/contract.ts'
import { unsendable } from '../../../src/adapter/outcomes.ts'
import { SourceDelivery } from '../../../src/adapter/source-delivery.ts'
import { type SourcePeer, SourceSession } from '../../../src/adapter/source-session.ts'
import type { HttpFrom } from '../config.ts'
import { answerTo, deadLettered, jsonAnswer, type WholeAnswer } from '../listener/answer.ts'
import { problemAnswer } from '../listener/problem.ts'
import { Routes } from '../listener/routes.ts'
import type { Promises } from './promises.ts'
import { type LaterRequest, unpackRequest } from './record.ts'

/** What is released is handed over again after so long; how often old answers are looked for. Milliseconds. */
const redeliverMs = 1_000
const sweepMs = 10_000

class LaterDelivery extends SourceDelivery {
  readonly isPatient = true
  readonly id: string
  readonly readers: ReadonlySet<unknown>
  readonly promises: Promises

  constructor(
    promises: Promises,
    { id, ...request }: LaterRequest & { readonly id: string },
    readers: ReadonlySet<unknown>,
  ) {
    super(request.envelope, request.address)
    this.id = id
    this.readers = readers
    this.promises = promises
  }

  async answer(reply: Reply): Promise<Outcome> {
    try {
      await this.promises.answer(this.id, answerTo(reply))
      return delivered
    } catch (error) {
      return unsendable(error)
    }
  }
}

export interface AskingParts {
  readonly promises: Promises
  readonly froms: readonly HttpFrom[]
  readonly budget: Budget
  readonly context: Context
}

/** One generation of a source, from `open` to `close`. */
export class Asking implements SourcePeer<LaterDelivery> {
  readonly #at: AskingParts
  readonly #routes: Routes<HttpFrom>
  readonly #session: SourceSession<LaterDelivery>
  readonly #sweeping: NodeJS.Timeout

  constructor(parts: AskingParts) {
    this.#at = parts
    this.#routes = new Routes(parts.froms)
    this.#session = new SourceSession(this, { budget: parts.budget, gather: 'turn', redeliverMs })
    this.#sweeping = setInterval(() => this.#sweep(), sweepMs).unref()
  }

  async run(deliver: Deliver, signal: AbortSignal): Promise<void> {
    await this.#session.run(deliver, signal)
  }

  /** It is on disk, and its asker knows where to look. */
  ask(id: string): void {
    this.#at.promises.askAgain(id)
    this.#session.arrived()
  }

  end(error: Error): void {
    clearInterval(this.#sweeping)
    this.#session.end(error)
  }

  next(): LaterDelivery | undefined {
    const { promises, context } = this.#at
    for (let next = promises.next(); next !== undefined; next = promises.next()) {
      const request = unpackRequest(next.request, context.connection)
      const { froms: readers } = this.#routes.find(request.method, {
        levels: request.address.split('/'),
        query: undefined,
      })
      if (readers.size > 0) return new LaterDelivery(promises, { id: next.id, ...request }, readers)
      this.#close(next.id, problemAnswer(unread))
    }
    return undefined
  }

  /** Without an answer: the gateway stops, or its answer went elsewhere, `request.to`. */
  settle({ id, envelope }: LaterDelivery, settlement: Settlement): void {
    if (settlement === 'release') this.#at.promises.askAgain(id)
    else if (settlement === 'reject') this.#close(id, problemAnswer(deadLettered))
    else this.#close(id, jsonAnswer(200, { messageId: envelope.messageId }))
  }

  settleLate(delivery: LaterDelivery, settlement: Settlement): void {
    this.settle(delivery, settlement)
  }

  /** Where it has an answer already, that stays. */
  #close(id: string, answer: WholeAnswer): void {
    this.#at.promises.answer(id, answer).catch(() => {})
  }

  #sweep(): void {
    const expired = this.#at.promises.sweep()
    if (expired > 0) this.#at.context.count('http_replies_expired', expired)
  }
}

const unread = { status: 404, code: 'NOT_FOUND', detail: 'no route reads this path any more' } as const
