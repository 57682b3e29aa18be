/** The one server of a `listen` connection, shared by its source and its readers: opened by the first, closed by the last. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from '../../../src/adapter/contract.ts'
import { once } from '../../../src/adapter/once.ts'
import type { App } from './app.ts'
import { Guard } from './auth.ts'
import type { HttpListenerConnection } from './config.ts'
import type { Listener } from './listener.ts'
import { type Problem, retryAfter, writeProblem } from './problem.ts'

/** With the servers of Node, for the first that listens. */
const loadListener = once(() => import('./listener.ts'))

/** Readers of events, as the listener sees them. */
export interface EventsService {
  /** The path that the request names, where it is one of events. */
  pathOf(request: IncomingMessage): string | undefined
  serve(path: string, request: IncomingMessage, response: ServerResponse): void
}

/** One user's hold of the running server. */
export interface ListenerHold {
  /** Lets it go; resolves when it is closed, where it was the last. Safe to call twice. */
  release(): Promise<void>
}

interface Running {
  readonly listener: Listener
  readonly opened: Promise<void>
  holds: number
}

export class SharedListener {
  /** One for all, so that a signature counts once. */
  readonly guard: Guard
  readonly #connection: HttpListenerConnection
  #app: App | undefined
  #events: EventsService | undefined
  #running: Running | undefined
  #closing: Promise<void> = Promise.resolve()

  constructor(connection: HttpListenerConnection) {
    this.#connection = connection
    this.guard = new Guard(connection.auth)
  }

  takeRequests(app: App): void {
    this.#app = app
  }

  /** Requests are told to come again from now on. */
  leaveRequests(app: App): void {
    if (this.#app === app) this.#app = undefined
  }

  serveEvents(events: EventsService | undefined): void {
    this.#events = events
  }

  /** Rejects as `Listener.open`. */
  async acquire(context: Context): Promise<ListenerHold> {
    const { Listener } = await loadListener()
    await this.#closing
    this.#running ??= this.#open(new Listener(this.#connection, context, this.#handler))
    const running = this.#running
    running.holds += 1
    const hold = this.#holdOf(running)
    try {
      await running.opened
      return hold
    } catch (error) {
      await hold.release()
      throw error
    }
  }

  #open(listener: Listener): Running {
    return { listener, opened: listener.open(), holds: 0 }
  }

  #holdOf(running: Running): ListenerHold {
    let isReleased = false
    return {
      release: async () => {
        if (isReleased) return
        isReleased = true
        running.holds -= 1
        if (running.holds === 0) await this.#close(running)
      },
    }
  }

  async #close(running: Running): Promise<void> {
    if (this.#running === running) this.#running = undefined
    const closed = running.listener.close()
    this.#closing = this.#closing.then(() => closed)
    await closed
  }

  readonly #handler = (request: IncomingMessage, response: ServerResponse): void => {
    const path = this.#events?.pathOf(request)
    if (path !== undefined && isOfReader(request, this.#app)) return this.#events?.serve(path, request, response)
    if (this.#app !== undefined) return this.#app.handle(request, response)
    response.setHeader('connection', 'close')
    writeProblem(response, isAtEvents(request) ? noEvents : nobody)
  }
}

/** Where a route reads the same path by GET, it is a reader that asks for events. */
function isOfReader(request: IncomingMessage, app: App | undefined): boolean {
  const { method, headers } = request
  if (method === 'OPTIONS') return app === undefined || headers['access-control-request-method'] === 'GET'
  return method === 'GET' && (asksForEvents(headers) || app?.takesGet(request) !== true)
}

const asksForEvents = ({ accept }: IncomingMessage['headers']) => accept?.includes('text/event-stream') === true
const isAtEvents = ({ method, headers }: IncomingMessage) => method === 'GET' && asksForEvents(headers)

const noEvents: Problem = { status: 404, code: 'NOT_FOUND', detail: 'no target sends events to this path' }
const nobody: Problem = {
  status: 503,
  code: 'GATEWAY_STOPPING',
  detail: 'no route reads requests of this listener now',
  headers: retryAfter,
}

const sharedListeners = new WeakMap<HttpListenerConnection, SharedListener>()

/** The shared of a connection: one per settings object. */
export function sharedListenerOf(connection: HttpListenerConnection): SharedListener {
  const shared = sharedListeners.get(connection) ?? new SharedListener(connection)
  sharedListeners.set(connection, shared)
  return shared
}
