/** What `requeue` and `discard` have in common: work on many letters, piece by piece. */
import { setImmediate as turn } from 'node:timers/promises'
import { type DiscardRequest, type Filter, pieceSize } from '../../admin/dead-letters-request.ts'
import type { PieceDone, Skipped } from '../../delivery/dead-letters/workbench.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Desk } from './desk.ts'
import { filterOf, idsOf, numberOf, usage, type WorkOptions } from './options.ts'
import { printBroken, printWork, type Verb, type WorkDone } from './print.ts'
import { Progress } from './progress.ts'

export interface WorkRequest {
  readonly desk: Desk
  readonly verb: Verb
  readonly ids: readonly string[]
  readonly options: WorkOptions
}

type DoPiece = (piece: DiscardRequest) => Promise<PieceDone>

/** Until all is done, the limit is reached, or the user has had enough. The same command again goes on from there. */
export async function work(work: WorkRequest, doPiece: DoPiece): Promise<number> {
  const { desk, verb, ids, options } = work
  const filter = chosen(ids, options)
  const most = numberOf('--limit', options.limit) ?? Number.POSITIVE_INFINITY
  const progress = new Progress(verb.done, Math.min(await countOf(work), most))
  const stop = stopSignal()
  const request = { ...filter, dryRun: options.dryRun }
  const outcome = await inPieces(verb, most, { progress, stop }, (piece) => doPiece({ ...request, ...piece }))
  await printWork(desk, verb, outcome, options)
  if (stop.isAsked) return exitCodes.interrupted
  return outcome.done === 0 || outcome.skipped.length > 0 ? exitCodes.found : exitCodes.ok
}

/** Nothing at all is never meant to be everything. */
function chosen(ids: readonly string[], options: WorkOptions): Filter & { all?: boolean | undefined } {
  const filter = { ...filterOf(options), ids: idsOf(ids), all: options.all }
  if (Object.values(filter).some((value) => value !== undefined)) return filter
  throw usage('give ids or a filter such as --route; acting on every letter requires --all')
}

async function countOf({ desk, ids, options }: WorkRequest): Promise<number> {
  if (ids.length > 0) return ids.length
  return (await desk.list({ ...filterOf(options), where: undefined, limit: 1 })).total
}

interface Watch {
  readonly progress: Progress
  readonly stop: { readonly isAsked: boolean }
}

async function inPieces(verb: Verb, most: number, { progress, stop }: Watch, doPiece: DoPiece): Promise<WorkDone> {
  const skipped: Skipped[] = []
  let done = 0
  let place: { after?: number | undefined; before?: number | undefined } = {}
  try {
    do {
      const piece = await doPiece({ ...place, limit: Math.min(pieceSize, most - done) })
      place = { after: piece.next, before: piece.before }
      done += piece.done
      skipped.push(...piece.skipped)
      progress.advance(piece.looked)
      await turn() // for Ctrl-C, and so that the audit line is out before the next piece
    } while (place.after !== undefined && done < most && !stop.isAsked)
  } catch (error) {
    progress.clear()
    printBroken(verb, done)
    throw error
  }
  progress.clear()
  return { done, skipped, isStopped: stop.isAsked && place.after !== undefined }
}

/** Ctrl-C ends the work after the piece at hand; a second one ends the process. */
function stopSignal(): { readonly isAsked: boolean } {
  const state = { isAsked: false }
  process.once('SIGINT', () => {
    state.isAsked = true
  })
  return state
}
