/** The commands of `trivium dead-letters`, each of which resolves with the exit code. */
import { setImmediate as turn } from 'node:timers/promises'
import { type ListRequest, mostListed, pageSize, pieceSize } from '../../admin/dead-letters-request.ts'
import { jsonLine, type LetterRecord, type LetterSummary } from '../../admin/dead-letters-view.ts'
import type { Skipped } from '../../delivery/dead-letters/workbench.ts'
import { exitCodes } from '../exit-codes.ts'
import { counted } from '../words.ts'
import { type Desk, DeskError, type Listed } from './desk.ts'
import { editMessage } from './editor.ts'
import { writeExport } from './export.ts'
import { nothingText } from './nothing.ts'
import { openDesk, type PlaceOptions, placeText } from './open.ts'
import {
  aboutOption,
  changesOf,
  type EditOptions,
  type FilterOptions,
  filterOf,
  idOf,
  idsOf,
  type ListOptions,
  numberOf,
  type RequeueOptions,
  usage,
  type WorkOptions,
} from './options.ts'
import { Progress } from './progress.ts'
import { letterText, plain, tableOf } from './text.ts'

/** Skipped letters that are told one by one. */
const toldSkipped = 20

export function list(options: ListOptions): Promise<number> {
  return atDesk(options, async (desk) => {
    const limit = numberOf('--limit', options.limit) ?? pageSize
    const { deadLetters, total, next } = await pageOf(desk, options, limit)
    const isFound = deadLetters.length > 0
    if (options.json) console.log(jsonLine({ gateway: desk.gateway, deadLetters, total, next }))
    else if (isFound) console.log(tableOf(deadLetters, process.stdout.isTTY ? process.stdout.columns : undefined))
    else console.error(plain(await nothingText(desk, options)))
    if (isFound && !options.json)
      console.error(footer(desk, deadLetters.length, options.where === undefined ? total : undefined, next))
    return isFound ? exitCodes.ok : exitCodes.found
  })
}

/** A gateway looks at so many letters at once and no more: what is found may come in parts. */
async function pageOf(desk: Desk, options: ListOptions, limit: number): Promise<Listed> {
  const deadLetters: LetterSummary[] = []
  let next = numberOf('--after', options.after, 0)
  for (;;) {
    const most = Math.min(mostListed, limit - deadLetters.length)
    const part = await desk.list({ ...filterOf(options), after: next, limit: most })
    deadLetters.push(...part.deadLetters)
    next = part.next
    if (next === undefined || deadLetters.length >= limit) return { deadLetters, total: part.total, next }
  }
}

export function show(idText: string, options: PlaceOptions & { json?: boolean; payload?: boolean }): Promise<number> {
  return atDesk(options, async (desk) => {
    const record = await letterAt(desk, idText)
    if (options.payload) return writePayload(record)
    console.log(options.json ? jsonLine(record, 2) : letterText(record))
    return exitCodes.ok
  })
}

export function requeue(ids: readonly string[], options: RequeueOptions): Promise<number> {
  const { delay, force } = options
  return atDesk(options, (desk) => {
    const rate = options.rate === undefined ? undefined : Number(options.rate)
    if (Number.isNaN(rate)) throw usage(`--rate ${options.rate}: a number of messages per second`)
    return work({ desk, verb: 'requeued', ids, options }, (piece) => desk.requeue({ ...piece, delay, rate, force }))
  })
}

export function discard(ids: readonly string[], options: WorkOptions): Promise<number> {
  return atDesk(options, (desk) => work({ desk, verb: 'discarded', ids, options }, (piece) => desk.discard(piece)))
}

export function edit(idText: string, options: EditOptions): Promise<number> {
  return atDesk(options, async (desk) => {
    const changes = changesOf(options) ?? (await editMessage(await letterAt(desk, idText)))
    if (changes === undefined) {
      console.error('nothing was changed')
      return exitCodes.ok
    }
    const id = idOf(idText)
    if ((await desk.edit(id, changes)) === undefined) throw absent(id)
    const again = `trivium dead-letters requeue ${id}${placeText(options)}`
    console.error(`dead letter ${id} of gateway ${desk.gateway} is changed; to send it: ${again}`)
    return exitCodes.ok
  })
}

export function exportAll(ids: readonly string[], options: FilterOptions & { out?: string }): Promise<number> {
  return atDesk(options, async (desk) => {
    const filter = { ...filterOf(options), ids: idsOf(ids) }
    const { total } = await desk.list({ ...filter, where: undefined, limit: 1 })
    const progress = new Progress('exported', total)
    const count = await writeExport(desk.export(filter), options.out, () => progress.advance(1))
    progress.clear()
    const to = options.out === undefined ? '' : ` to ${options.out}`
    const done = `exported ${count} of gateway ${desk.gateway}${to}`
    console.error(count === 0 ? plain(await nothingText(desk, options)) : done)
    return count === 0 ? exitCodes.found : exitCodes.ok
  })
}

interface Work {
  readonly desk: Desk
  readonly verb: 'requeued' | 'discarded'
  readonly ids: readonly string[]
  readonly options: WorkOptions
}

type Piece = ListRequest & { before?: number | undefined; all?: boolean | undefined; dryRun?: boolean | undefined }
type DoPiece = (piece: Piece) => ReturnType<Desk['discard']>

/** Piece by piece, until all is done, the limit is reached, or the user has had enough. Started again it goes on. */
async function work({ desk, verb, ids, options }: Work, doPiece: DoPiece): Promise<number> {
  const { all, dryRun } = options
  const filter = { ...filterOf(options), ids: idsOf(ids), all }
  if (Object.values(filter).every((value) => value === undefined)) {
    throw usage('name dead letters by their ids or by a filter such as --route, or say --all')
  }
  const most = numberOf('--limit', options.limit) ?? Number.POSITIVE_INFINITY
  const total =
    ids.length > 0 ? ids.length : (await desk.list({ ...filterOf(options), where: undefined, limit: 1 })).total
  const progress = new Progress(verb, Math.min(total, most))
  const stop = stopSignal()
  const skipped: Skipped[] = []
  let done = 0
  let [after, before]: (number | undefined)[] = []
  try {
    do {
      const limit = Math.min(pieceSize, most - done)
      const piece = await doPiece({ ...filter, dryRun, after, before, limit })
      ;({ next: after, before } = piece)
      done += piece.done
      skipped.push(...piece.skipped)
      progress.advance(piece.looked)
      await turn() // for Ctrl-C, and so that the audit line is out before the next piece
    } while (after !== undefined && done < most && !stop.isAsked)
  } catch (error) {
    progress.clear()
    if (done > 0) console.error(`${verb} ${done} before that; the same command goes on from there`)
    throw error
  }
  progress.clear()
  await tell({ desk, verb, done, skipped, isStopped: stop.isAsked && after !== undefined, options })
  if (stop.isAsked) return 130
  return done === 0 || skipped.length > 0 ? exitCodes.found : exitCodes.ok
}

interface Told {
  readonly desk: Desk
  readonly verb: string
  readonly done: number
  readonly skipped: readonly Skipped[]
  readonly isStopped: boolean
  readonly options: WorkOptions
}

async function tell({ desk, verb, done, skipped, isStopped, options }: Told): Promise<void> {
  const { json, dryRun = false } = options
  const { gateway, isRunning } = desk
  if (json) return console.log(jsonLine({ gateway, [verb]: done, skipped, dryRun }))
  for (const { id, why } of skipped.slice(0, toldSkipped)) console.error(`  ${id} is left: ${plain(why)}`)
  if (skipped.length > toldSkipped) console.error(`  and ${skipped.length - toldSkipped} more are left`)
  const what = `${verb} ${done} of gateway ${gateway}${skipped.length === 0 ? '' : `, left ${skipped.length}`}`
  if (done === 0 && skipped.length === 0) console.error(plain(await nothingText(desk, options)))
  else console.log(dryRun ? `would have ${what}; nothing was changed` : what)
  if (verb === 'requeued' && done > 0 && !dryRun && !isRunning)
    console.error('they wait for the next start of the gateway')
  if (isStopped) console.error('stopped; the same command goes on from here')
}

/** Ctrl-C ends the work after the piece at hand; a second one ends the process. */
function stopSignal(): { readonly isAsked: boolean } {
  const state = { isAsked: false }
  process.once('SIGINT', () => {
    state.isAsked = true
  })
  return state
}

async function atDesk(options: PlaceOptions, job: (desk: Desk) => Promise<number>): Promise<number> {
  let desk: Desk | undefined
  try {
    const opened = await openDesk(options)
    if (typeof opened === 'number') return opened
    desk = opened
    return await job(desk)
  } catch (error) {
    if (!(error instanceof DeskError)) throw error
    const isUsage = error.exitCode === exitCodes.usage
    console.error(`trivium: ${plain(isUsage ? aboutOption(error.message, { ...options }) : error.message)}`)
    return error.exitCode
  } finally {
    await desk?.close()
  }
}

function footer({ gateway }: Desk, shown: number, total: number | undefined, next: number | undefined): string {
  const count = total === undefined ? counted(shown, 'dead letter') : `${shown} of ${counted(total, 'dead letter')}`
  return `${count} of gateway ${gateway}${next === undefined ? '' : `; more with --after ${next}`}`
}

async function letterAt(desk: Desk, idText: string): Promise<LetterRecord> {
  const id = idOf(idText)
  const record = await desk.get(id)
  if (record === undefined) throw absent(id)
  return record
}

/** The payload's bytes and nothing else. */
function writePayload({ message }: LetterRecord): number {
  if (process.stdout.isTTY) throw usage('--payload writes raw bytes: send them to a file or a program')
  const { payloadText, payloadBase64 } = message
  if (typeof payloadText === 'string') process.stdout.write(payloadText)
  if (typeof payloadBase64 === 'string') process.stdout.write(Buffer.from(payloadBase64, 'base64'))
  return exitCodes.ok
}

const absent = (id: number) =>
  new DeskError(exitCodes.found, `no dead letter ${id}: it was requeued or discarded, or never was`)
