/** What the API and the command line are asked for, checked: the same rules and the same words in both. */
import { z } from 'zod'
import { duration } from '../adapter/schema.ts'
import { expectationOf } from '../config/schema/schema-problems.ts'
import type { LetterQuery } from '../delivery/dead-letters/walk.ts'
import type { Page, Piece, Requeue } from '../delivery/dead-letters/workbench.ts'
import { PermanentError } from '../errors.ts'
import { deadLetterReasons } from '../store/dead-letters.ts'

/** Letters that one call requeues or discards at most, and that one call lists unless it says more. */
export const pieceSize = 500
export const pageSize = 50
/** Most letters that one call lists. */
export const mostListed = 500
const maxIds = 1_000

const id = z.coerce.number('expected a dead letter id').int().min(1)
/** As a list, or with commas between them. */
const ids = z
  .preprocess((value) => (typeof value === 'string' ? value.split(',') : value), z.array(id))
  .refine(({ length }) => length <= maxIds, { error: `at most ${maxIds} at once` })

const filter = {
  ids: ids.optional(),
  route: z.string().min(1).optional(),
  reason: z.enum(deadLetterReasons, { error: `must be one of ${deadLetterReasons.join(', ')}` }).optional(),
  olderThan: duration().optional(),
  youngerThan: duration().optional(),
  where: z.string().min(1).max(10_000).optional(),
}
const count = (most: number) => z.coerce.number().int().min(1).max(most)
const listed = z.strictObject({
  ...filter,
  after: z.coerce.number().int().min(0).optional(),
  limit: count(mostListed).default(pageSize),
})
const exported = z.strictObject(filter)
const piece = {
  ...filter,
  all: z.boolean().optional(),
  after: z.int().min(0).optional(),
  limit: count(pieceSize).default(pieceSize),
  before: z.int().min(0).optional(),
  dryRun: z.boolean().optional(),
}
const discarded = z.strictObject(piece)
const requeued = z.strictObject({
  ...piece,
  delay: duration().optional(),
  rate: z.coerce.number().min(0.001).max(1_000_000).optional(),
  force: z.boolean().optional(),
})

/** Fields as the user writes them, e.g. `olderThan: '1h'`. */
export interface Filter {
  readonly ids?: readonly number[] | undefined
  readonly route?: string | undefined
  readonly reason?: string | undefined
  readonly olderThan?: string | undefined
  readonly youngerThan?: string | undefined
  readonly where?: string | undefined
}
export interface ListRequest extends Filter {
  readonly after?: number | undefined
  readonly limit?: number | undefined
}
export interface DiscardRequest extends ListRequest {
  readonly all?: boolean | undefined
  readonly before?: number | undefined
  readonly dryRun?: boolean | undefined
}
export interface RequeueRequest extends DiscardRequest {
  readonly delay?: string | undefined
  readonly rate?: number | undefined
  readonly force?: boolean | undefined
}

/** Throws PermanentError USAGE, as all of these do. */
export function parseList(input: unknown): { query: LetterQuery; page: Page } {
  const { after, limit, ...rest } = parse(listed, input)
  return { query: queryOf(rest), page: { after, limit } }
}

export function parseExport(input: unknown): LetterQuery {
  return queryOf(parse(exported, input))
}

export function parseDiscard(input: unknown): { query: LetterQuery; piece: Piece } {
  const { after, limit, before, dryRun, all, ...rest } = parse(discarded, input)
  return { query: meant(rest, all), piece: { after, limit, before, isDryRun: dryRun } }
}

export function parseRequeue(input: unknown): { query: LetterQuery; order: Requeue } {
  const { after, limit, before, dryRun, all, delay, rate, force, ...rest } = parse(requeued, input)
  const order = { after, limit, before, isDryRun: dryRun, delayMs: delay, ratePerSecond: rate, isForced: force }
  return { query: meant(rest, all), order }
}

function queryOf({ olderThan, youngerThan, ...rest }: z.output<typeof exported>): LetterQuery {
  return { ...rest, olderThanMs: olderThan, youngerThanMs: youngerThan }
}

/** All there are are never meant by leaving everything out. */
function meant(filters: z.output<typeof exported>, all: boolean | undefined): LetterQuery {
  const isNarrow = Object.values(filters).some((value) => value !== undefined)
  if (!isNarrow && all !== true)
    throw new PermanentError('USAGE', 'give ids or a filter; acting on every letter requires all: true')
  return queryOf(filters)
}

export function parse<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(input, { error: expectationOf })
  if (result.success) return result.data
  const [issue] = result.error.issues
  const path = issue?.path.join('.') ?? ''
  throw new PermanentError('USAGE', path === '' ? (issue?.message ?? 'not understood') : `${path}: ${issue?.message}`)
}
