/** Several messages as the body of one request. Pure. */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Outbound } from '../../../src/adapter/contract.ts'
import { remainingMs } from '../../../src/envelope/expiry.ts'
import { encodeStructured, isStructured } from '../../../src/envelope/formats.ts'
import { markLength } from '../../../src/envelope/json.ts'
import { bytesOf } from '../../../src/envelope/typed.ts'
import { PermanentError } from '../../../src/errors.ts'
import type { HttpTarget } from '../target.ts'

export interface Packed {
  readonly id: string
  /** Name and value in turn. */
  readonly headers: string[]
  readonly body: Buffer
}

type Member = Outbound<HttpTarget>

const contentTypes = {
  json: 'application/json',
  cloudevents: 'application/cloudevents-batch+json; charset=utf-8',
} as const

/** The text of one message in a batch. Throws a PermanentError where it has none. */
function itemOf({ envelope, target, format, hops = envelope.hops }: Member): Buffer {
  remainingMs(envelope, Date.now()) // throws where nothing is left
  if (target.batch?.mode === 'cloudevents') return encodeStructured(envelope, 'cloudevents', hops)
  if (isStructured(format)) return encodeStructured(envelope, format, hops)
  const { payload } = envelope
  if (payload === null) return Buffer.from('null')
  if (envelope.json !== undefined) return bytesOf(payload).subarray(markLength(payload))
  if (isUtf8(payload)) return Buffer.from(JSON.stringify(bytesOf(payload).toString()))
  throw new PermanentError('MESSAGE_MALFORMED', 'its payload is no JSON and no text: a JSON array cannot hold it')
}

/** The same messages give the same id, so that a receiver knows a batch that comes again. */
export function pack({ items, members }: Bundle): Packed {
  const digest = createHash('sha256')
  for (const { envelope } of members) digest.update(`${envelope.messageId}\0`)
  const commas = items.flatMap((item, at) => (at === 0 ? [item] : [comma, item]))
  const body = Buffer.concat([open, ...commas, close])
  const hops = members.map(({ hops = '' }) => hops).reduce((most, each) => (each.length > most.length ? each : most))
  const headers = ['content-type', contentTypes[members[0]!.target.batch!.mode]]
  if (hops !== '') headers.push('trivium-hops', hops)
  return { id: `batch-${digest.digest('base64url').slice(0, 32)}`, headers, body }
}

const open = Buffer.from('[')
const comma = Buffer.from(',')
const close = Buffer.from(']')

/** A longer body is two requests. */
const mostBytes = 4 * 1_024 ** 2

/** What goes into one request, and where in the batch of the dispatcher it stands. */
export interface Bundle {
  readonly places: number[]
  readonly members: Member[]
  readonly items: Buffer[]
  bytes: number
}

/** To one URL with the same headers, so many and so large at most. `refuse` is told of what cannot be in a batch. */
export function bundlesOf(
  batch: readonly Member[],
  places: readonly number[],
  refuse: (place: number, error: unknown) => void,
): Bundle[] {
  const bundles: Bundle[] = []
  const latest = new Map<string, Bundle>()
  for (const place of places) {
    const member = batch[place] as Member
    try {
      const item = itemOf(member)
      const name = nameOf(member.target)
      const bundle = roomIn(latest.get(name), item) ?? { places: [], members: [], items: [], bytes: 0 }
      if (bundle.items.length === 0) bundles.push(bundle)
      latest.set(name, bundle)
      bundle.places.push(place)
      bundle.members.push(member)
      bundle.items.push(item)
      bundle.bytes += item.length
    } catch (error) {
      refuse(place, error)
    }
  }
  return bundles
}

function roomIn(bundle: Bundle | undefined, item: Buffer): Bundle | undefined {
  if (bundle === undefined || bundle.bytes + item.length > mostBytes) return undefined
  return bundle.items.length < bundle.members[0]!.target.batch!.maxMessages ? bundle : undefined
}

function nameOf({ method, url, headers, query, batch }: HttpTarget): string {
  return JSON.stringify([method, url, headers, query, batch])
}
