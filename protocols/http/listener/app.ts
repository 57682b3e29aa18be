/** What a request passes, in order: its path, the page it comes from, who sends it, its body; then the source takes it. */
import type { IncomingMessage } from 'node:http'
import express, { type ErrorRequestHandler, type Express, type Response } from 'express'
import type { Context } from '../../../src/adapter/contract.ts'
import type { HttpFrom } from '../config.ts'
import type { Desk } from '../later/desk.ts'
import type { Guard } from './auth.ts'
import { Bodies, type BodyLimits } from './body.ts'
import type { HttpListenerConnection } from './config.ts'
import { type Passed, passDoor } from './doors.ts'
import type { Handler } from './listener.ts'
import { checkMediaType, messagesIn } from './media.ts'
import { Origins } from './origins.ts'
import { pathOf } from './path.ts'
import { Refusal } from './problem.ts'
import { Routes } from './routes.ts'
import { tellProblem } from './tell-problem.ts'
import { setWay, type Way, wayOf } from './way.ts'

/** Where requests go on: the source. */
export interface Intake {
  /** True where the gateway stops: connections are to end with their next answer. */
  readonly isStopping: boolean
  /** Undefined: no answer is fetched later here. */
  readonly desk?: Desk | undefined
  /** Throws a Refusal, 429 or 503, where it takes nothing now. */
  checkRoom(way: Way): void
  /** Takes all of them, and answers. Throws a Refusal where it takes none. */
  take(passed: Passed, taking: Taking): void
}

export interface Taking {
  readonly way: Way
  readonly response: Response
  /** It was not taken after all, and is to come again. */
  onReleased(): void
}

export interface AppParts {
  readonly connection: HttpListenerConnection
  readonly froms: readonly HttpFrom[]
  readonly intake: Intake
  readonly context: Context
  readonly guard: Guard
}

/** What the listener gives its requests to. */
export interface App {
  readonly handle: Handler
  /** True for a GET that a route reads, or that fetches an answer. */
  takesGet(request: IncomingMessage): boolean
}

export function listenerApp(parts: AppParts): App {
  const routes = new Routes(parts.froms)
  return {
    handle: steps(parts, routes),
    takesGet: (request) => takesGet(parts.intake, routes, request),
  }
}

function takesGet({ desk }: Intake, routes: Routes<HttpFrom>, request: IncomingMessage): boolean {
  try {
    const way = foundWay(routes, request, 'GET')
    return way.froms.size > 0 || desk?.isFetch(request, way) === true
  } catch (error) {
    if (error instanceof Refusal) return false // no route reads such a path
    throw error
  }
}

function foundWay(routes: Routes<HttpFrom>, { url = '' }: IncomingMessage, method: string): Way {
  const path = pathOf(url)
  return { ...path, ...routes.find(method, path) }
}

function steps({ connection, intake, context, guard }: AppParts, routes: Routes<HttpFrom>): Express {
  const origins = new Origins(connection.cors)
  const bodies = new Bodies(bodyLimits(connection))
  const app = express()
  app.disable('x-powered-by').set('query parser', false)
  app.use((request, response, next) => {
    if (intake.isStopping) response.setHeader('connection', 'close')
    setWay(response, foundWay(routes, request, request.method))
    next()
  })
  app.use((request, response, next) => {
    if (origins.admit(request, response, wayOf(response).methods)) next()
  })
  app.use(async (request, response) => {
    const way = wayOf(response)
    const known = guard.check(request.headers)
    if (request.method === 'OPTIONS' && way.methods.length > 0) return tellMethods(response, way)
    const isFetch = intake.desk?.isFetch(request, way) === true
    if (!isFetch) {
      checkWay(way)
      intake.checkRoom(way)
      checkMediaType(request.headers, context.format)
    }
    const body = await bodies.read(request, response)
    const { who, onceOnly } = known === undefined ? guard.checkSigned(request.headers, body) : { who: known }
    const visit = { request, response, way, who }
    if (isFetch) return await intake.desk?.serve(visit)
    const onReleased = () => guard.forget(onceOnly)
    try {
      const at = { connection: context.connection, format: context.format, ...way }
      const messages = messagesIn({ headers: request.rawHeaders, body }, request.headers['content-type'], at)
      const passed = passDoor(messages, way)
      const [first] = passed.messages.envelopes
      if (first !== undefined && !messages.isBatch && intake.desk?.isWanted(request.headers, way))
        return await intake.desk.take(first, visit)
      intake.take(passed, { way, response, onReleased })
    } catch (error) {
      onReleased()
      throw error
    }
  })
  const tell = tellProblem(context)
  const onError: ErrorRequestHandler = (error, request, response, _next) => tell(error, request, response)
  return app.use(onError)
}

/** Bodies that are still coming in take no more together than so many of the largest, or than so many bytes. */
const mostLargest = 4
const leastTogetherBytes = 64 * 1024 ** 2

function bodyLimits({ maxBodySize, bodyTimeout }: HttpListenerConnection): BodyLimits {
  const maxTogetherBytes = Math.max(leastTogetherBytes, mostLargest * maxBodySize)
  return { maxBytes: maxBodySize, maxTogetherBytes, deadlineMs: bodyTimeout }
}

function checkWay({ froms, methods }: Way): void {
  if (methods.length === 0) throw new Refusal({ status: 404, code: 'NOT_FOUND', detail: 'no route reads this path' })
  if (froms.size > 0) return
  const headers = { allow: methods.join(', ') }
  throw new Refusal({ status: 405, code: 'USAGE', detail: 'no route reads this path by this method', headers })
}

function tellMethods(response: Response, { methods }: Way): void {
  response.writeHead(204, { allow: methods.join(', ') }).end()
}
