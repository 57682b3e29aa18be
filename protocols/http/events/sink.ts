import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type Context,
  delivered,
  type Outbound,
  type Outcome,
  rejected,
  type Sink,
} from '../../../src/adapter/contract.ts'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { again, unsendable } from '../../../src/adapter/outcomes.ts'
import { type GatewayError, PermanentError, RetryableError } from '../../../src/errors.ts'
import type { HttpListenerConnection } from '../listener/config.ts'
import {
  type EventsService,
  type ListenerHold,
  type SharedListener,
  sharedListenerOf,
} from '../listener/shared-listener.ts'
import { type TellProblem, tellProblem } from '../listener/tell-problem.ts'
import { Audience } from './audience.ts'
import type { EventsTarget } from './config.ts'
import { Door } from './door.ts'
import { frameOf, idText } from './frame.ts'
import { canMake, canonical, requestedPath } from './paths.ts'
import { Tracks } from './tracks.ts'

/** The store gets so long. Milliseconds. */
const keptWithinMs = 10_000

type EventOutbound = Outbound<EventsTarget>

/**
 * Server-sent events. Delivered means: written to all that follow the path now, and kept for those that come back, on disk
 * where a route that sends there has `acknowledge: stored`; that there is nobody is no failure. No reader slows it down.
 */
export class EventsSink implements Sink<EventsTarget>, EventsService {
  readonly keepsOrder = true
  readonly maxConcurrentSends = 4
  readonly maxBatch = 500
  readonly #connection: HttpListenerConnection
  readonly #context: Context
  readonly #shared: SharedListener
  readonly #door: Door
  readonly #tell: TellProblem
  /** Of all its generations: readers come back to what they have missed. */
  #tracks: Tracks | undefined
  #audience: Audience | undefined
  #hold: ListenerHold | undefined

  constructor(connection: HttpListenerConnection, context: Context) {
    this.#connection = connection
    this.#context = context
    this.#shared = sharedListenerOf(connection)
    this.#door = new Door(connection, this.#shared.guard)
    this.#tell = tellProblem(context)
  }

  async open(): Promise<void> {
    await this.close()
    const { events } = this.#connection
    this.#tracks ??= new Tracks(events.replay, this.#context.kept)
    this.#audience = new Audience(events, this.#tracks, this.#context)
    this.#shared.serveEvents(this)
    try {
      this.#hold = await this.#shared.acquire(this.#context)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  async close(): Promise<void> {
    const [audience, hold] = [this.#audience, this.#hold]
    this.#audience = undefined
    this.#hold = undefined
    if (audience !== undefined) this.#shared.serveEvents(undefined)
    audience?.close()
    await hold?.release()
  }

  /** A reader that goes is no loss. */
  lost(): Promise<GatewayError> {
    return new Promise(() => {})
  }

  async send(batch: readonly EventOutbound[]): Promise<readonly Outcome[]> {
    const outcomes = batch.map((outbound) => this.#publish(outbound))
    const { kept } = this.#context
    if (kept === undefined || !batch.some(({ target }) => this.#isKept(target.events))) return outcomes
    try {
      await withDeadline(kept.flushed(), keptWithinMs, 'the store')
      return outcomes
    } catch (error) {
      return outcomes.map((outcome) => (outcome.kind === 'delivered' ? again(error) : outcome))
    }
  }

  pathOf({ url = '' }: IncomingMessage): string | undefined {
    const path = requestedPath(url)
    return path !== undefined && this.#targetsOf(path).length > 0 ? path : undefined
  }

  serve(path: string, request: IncomingMessage, response: ServerResponse): void {
    try {
      if (this.#door.admit(request, response)) this.#audience?.seat(path, request, response)
    } catch (error) {
      this.#tell(error, request, response)
    }
  }

  #publish(outbound: EventOutbound): Outcome {
    if (this.#audience === undefined) return again(new RetryableError('PEER_LOST', 'the listener is closed'))
    if (outbound.ask !== undefined) return rejected(new PermanentError('DESTINATION_INVALID', 'readers do not answer'))
    try {
      const path = canonical(outbound.target.events) ?? outbound.target.events
      const id = idText(outbound.envelope.messageId)
      this.#audience.publish(path, { id, frame: frameOf(outbound), isKept: this.#isKept(path) })
      return delivered
    } catch (error) {
      return unsendable(error)
    }
  }

  /** Of one path all are kept in one place: what comes back from a restart has no holes that nobody tells. */
  #isKept(path: string): boolean {
    return this.#context.kept !== undefined && this.#targetsOf(path).some(({ isStored }) => isStored)
  }

  #targetsOf(path: string): NonNullable<Context['targets']> {
    const targets = this.#context.targets ?? []
    return targets.filter(({ settings }) => canMake((settings as EventsTarget).events, path))
  }
}
