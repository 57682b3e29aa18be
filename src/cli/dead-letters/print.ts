/** What the commands print: results on standard output, remarks on standard error. */
import { jsonLine, type LetterRecord } from '../../admin/dead-letters-view.ts'
import type { Skipped } from '../../delivery/dead-letters/workbench.ts'
import { counted } from '../words.ts'
import type { Desk, Listed } from './desk.ts'
import { nothingText } from './nothing.ts'
import type { FilterOptions, WorkOptions } from './options.ts'
import { letterText, plain, tableOf } from './text.ts'

/** `requeue` and `requeued`. */
export interface Verb {
  readonly now: string
  readonly done: string
}

export interface WorkDone {
  readonly done: number
  readonly skipped: readonly Skipped[]
  /** The user had enough before all was done. */
  readonly isStopped: boolean
}

/** Skipped letters that are named one by one. */
const namedSkipped = 20

export function printJson(value: unknown, indent?: number): void {
  console.log(jsonLine(value, indent))
}

export function printLetter(record: LetterRecord): void {
  console.log(letterText(record))
}

/** The bytes of the payload and nothing else. */
export function writePayload({ message: { payloadText, payloadBase64 } }: LetterRecord): void {
  if (typeof payloadText === 'string') process.stdout.write(payloadText)
  if (typeof payloadBase64 === 'string') process.stdout.write(Buffer.from(payloadBase64, 'base64'))
}

export function printList(desk: Desk, found: Listed, { isTotalKnown }: { isTotalKnown: boolean }): void {
  const { deadLetters, total, next } = found
  console.log(tableOf(deadLetters, process.stdout.isTTY ? process.stdout.columns : undefined))
  const count = isTotalKnown ? `${deadLetters.length} of ${letters(desk, total)}` : letters(desk, deadLetters.length)
  console.error(next === undefined ? count : `${count}; more with --after ${next}`)
}

export async function printNothing(desk: Desk, options: FilterOptions): Promise<void> {
  console.error(plain(await nothingText(desk, options)))
}

export function printUnchanged(): void {
  console.error('nothing was changed')
}

export function printEdited({ gateway }: Desk, id: number, again: string): void {
  console.error(`changed dead letter ${id} (gateway ${gateway}); to send it again: ${again}`)
}

export function printExported(desk: Desk, count: number, file: string | undefined): void {
  console.error(`exported ${letters(desk, count)}${file === undefined ? '' : ` to ${file}`}`)
}

/** The work ended with an error. */
export function printBroken(verb: Verb, done: number): void {
  if (done > 0) console.error(`${verb.done} ${done} before that; run the same command again to continue`)
}

export async function printWork(desk: Desk, verb: Verb, outcome: WorkDone, options: WorkOptions): Promise<void> {
  const { done, skipped, isStopped } = outcome
  const { json, dryRun = false } = options
  if (json) return printJson({ gateway: desk.gateway, [verb.done]: done, skipped, dryRun })
  printSkipped(outcome)
  if (done === 0 && skipped.length === 0) await printNothing(desk, options)
  else console.log(workText(desk, verb, outcome, dryRun))
  if (verb.now === 'requeue' && done > 0 && !dryRun && !desk.isRunning) {
    console.error('they will be sent when the gateway starts')
  }
  if (isStopped) console.error('interrupted; run the same command again to continue')
}

function printSkipped({ skipped }: WorkDone): void {
  for (const { id, why } of skipped.slice(0, namedSkipped)) console.error(`  skipped ${id}: ${plain(why)}`)
  if (skipped.length > namedSkipped) console.error(`  skipped ${skipped.length - namedSkipped} more`)
}

function workText(desk: Desk, verb: Verb, { done, skipped }: WorkDone, isDryRun: boolean): string {
  const what = `${letters(desk, done)}${skipped.length === 0 ? '' : `, skipped ${skipped.length}`}`
  return isDryRun ? `dry run: would ${verb.now} ${what}` : `${verb.done} ${what}`
}

const letters = ({ gateway }: Desk, many: number) => `${counted(many, 'dead letter')} (gateway ${gateway})`
