import { type Request, type Response, Router } from 'express'
import type { Piece, Workbench } from '../delivery/dead-letters/workbench.ts'
import { PermanentError } from '../errors.ts'
import { jsonBody } from './body.ts'
import { parseEdit } from './dead-letters-edit.ts'
import { parseDiscard, parseExport, parseList, parseRequeue } from './dead-letters-request.ts'
import { jsonLine, recordOf, summaryOf } from './dead-letters-view.ts'

/** The pages under `/api/v1/dead-letters`, behind the server's own guards. What changes something wants a JSON body. */
export function deadLetterPages(workbench: Workbench, patienceMs: number): Router {
  const router = Router()
  const body = [...jsonBody]
  router.get('/', (request, response) => {
    const { query, page } = parseList(request.query)
    const { letters, next } = workbench.list(query, page)
    answer(response, { deadLetters: letters.map(summaryOf), total: workbench.count(query), next })
  })
  router.get('/export', (request, response) => sendAll(workbench, patienceMs, { request, response }))
  router.get('/:id', (request, response) => {
    const letter = workbench.get(idOf(request))
    answer(response, recordOf(letter ?? absent(request)))
  })
  router.patch('/:id', body, (request: Request, response: Response) => {
    const letter = workbench.edit(idOf(request), parseEdit(request.body), originOf(request))
    answer(response, recordOf(letter ?? absent(request)))
  })
  router.post('/requeue', body, (request: Request, response: Response) => {
    const { query, order } = parseRequeue(request.body)
    const { done, ...rest } = workbench.requeue(query, order, originOf(request))
    answer(response, { requeued: done, ...rest, remaining: workbench.count(query), ...dryRunOf(order) })
  })
  router.post('/discard', body, (request: Request, response: Response) => {
    const { query, piece } = parseDiscard(request.body)
    const { done, ...rest } = workbench.discard(query, piece, originOf(request))
    answer(response, { discarded: done, ...rest, remaining: workbench.count(query), ...dryRunOf(piece) })
  })
  return router
}

/** Said only where nothing was done. */
const dryRunOf = ({ isDryRun }: Piece) => (isDryRun === true ? { dryRun: true } : {})

/** NDJSON, a line for each letter, no faster than it is read. */
async function sendAll(
  workbench: Workbench,
  patienceMs: number,
  { request, response }: { request: Request; response: Response },
): Promise<void> {
  const letters = workbench.export(parseExport(request.query), originOf(request))
  response.type('application/x-ndjson')
  response.on('error', () => {}) // a reader that goes away is no error
  for await (const letter of letters) {
    if (response.destroyed) return
    if (!response.write(`${jsonLine(recordOf(letter))}\n`)) await drained(response, patienceMs)
  }
  response.end()
}

/** Resolves when there is room again, or nobody reads any more; a reader that takes nothing for so long is cut off. */
async function drained(response: Response, patienceMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => response.destroy(), patienceMs)
    const done = () => {
      clearTimeout(timer)
      response.off('drain', done).off('close', done)
      resolve()
    }
    response.on('drain', done).on('close', done)
  })
}

function answer(response: Response, value: unknown): void {
  response.type('json').send(`${jsonLine(value)}\n`)
}

function idOf(request: Request): number {
  const text = String(request.params.id)
  if (/^[1-9]\d{0,15}$/.test(text)) return Number(text)
  throw new PermanentError('USAGE', `${text.slice(0, 100)}: expected a dead letter id`)
}

function absent(request: Request): never {
  throw new PermanentError(
    'NOT_FOUND',
    `no dead letter ${idOf(request)}: it was requeued or discarded, or never existed`,
  )
}

const originOf = (request: Request): string => `api ${request.socket.remoteAddress ?? ''}`
