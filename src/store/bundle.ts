/** A bundle: the messages of one transaction in one row, and which of them have left. */
import { fromJson, toJson } from '../envelope/typed.ts'
import type { OutboxRow } from './outbox-rows.ts'

/** A message in a bundle: one without a priority, that may go now. */
export type BundledRow = Omit<OutboxRow, 'due' | 'ranked' | 'requeues'>

/** A bundle as its row holds it: one line of JSON for each message, and all payloads in the same order. */
export interface BundleText {
  readonly heads: string
  readonly payloads: Uint8Array
}

/** Of one route, in one bundle. */
interface Share {
  open: number
  lastId: number
  /** Of its first message; milliseconds since the epoch. */
  readonly receivedAt: number
}

/** What memory keeps of a bundle on disk. */
export class Bundle {
  readonly id: number
  readonly bytes: number
  readonly writtenMs = performance.now()
  readonly shares: ReadonlyMap<number, Share>
  /** One bit for each id from the first to the last; set: it has left, or was never in here. */
  readonly gone: Uint8Array
  open: number

  constructor(draft: Draft) {
    this.id = draft.firstId
    this.bytes = draft.bytes
    this.shares = draft.shares
    this.open = draft.ids.length
    this.gone = new Uint8Array(Math.ceil((draft.lastId - draft.firstId + 1) / 8)).fill(0xff)
    for (const id of draft.ids) this.#flip(id)
  }

  /** True while this message is in here. */
  has(id: number): boolean {
    const at = id - this.id
    return at >= 0 && at < this.gone.length * 8 && !isSet(this.gone, at)
  }

  leave(id: number, route: number): void {
    this.#change(id, route, -1)
  }

  comeBack(id: number, route: number): void {
    this.#change(id, route, 1)
  }

  #change(id: number, route: number, by: number): void {
    this.#flip(id)
    this.open += by
    const share = this.shares.get(route)
    if (share !== undefined) share.open += by
  }

  #flip(id: number): void {
    const at = id - this.id
    const byte = at >>> 3
    this.gone[byte] = (this.gone[byte] as number) ^ (1 << (at & 7))
  }
}

/** A bundle to be. */
export class Draft {
  readonly firstId: number
  readonly ids: number[] = []
  readonly shares = new Map<number, Share>()
  bytes = 0
  readonly #heads: string[] = []
  readonly #payloads: Uint8Array[] = []

  constructor(first: BundledRow) {
    this.firstId = first.id
  }

  get lastId(): number {
    return this.ids.at(-1) ?? this.firstId
  }

  add(row: BundledRow): void {
    this.ids.push(row.id)
    this.bytes += row.bytes
    this.#heads.push(headOf(row))
    if (row.payload !== null) this.#payloads.push(row.payload)
    const share = this.shares.get(row.route)
    if (share === undefined) this.shares.set(row.route, { open: 1, lastId: row.id, receivedAt: row.received })
    else {
      share.open += 1
      share.lastId = row.id
    }
  }

  get text(): BundleText {
    return { heads: this.#heads.join('\n'), payloads: Buffer.concat(this.#payloads) }
  }
}

/** `params` and `fields` are JSON already. */
function headOf({ id, route, wanted, bytes, received, key, params, fields, payload }: BundledRow): string {
  const keyJson = key === null ? 'null' : JSON.stringify(toJson(key))
  const length = payload === null ? -1 : payload.byteLength
  return `[${id},${route},${wanted},${bytes},${received},${length},${keyJson},${params ?? 'null'},${fields}]`
}

type Head = [number, number, number, number, number, number, unknown, unknown, unknown]

export function isSet(bits: Uint8Array, at: number): boolean {
  return ((bits[at >>> 3] ?? 0) & (1 << (at & 7))) !== 0
}

export function* rowsOf({ heads, payloads }: BundleText): Generator<BundledRow> {
  let at = 0
  for (const line of heads.split('\n')) {
    const [id, route, wanted, bytes, received, length, key, params, fields] = JSON.parse(line) as Head
    const payload = length < 0 ? null : payloads.subarray(at, at + length)
    at += Math.max(0, length)
    yield {
      ...{ id, route, wanted, bytes, received, payload },
      key: key === null ? null : (fromJson(key) as string | Uint8Array),
      params: params === null ? null : JSON.stringify(params),
      fields: JSON.stringify(fields),
    }
  }
}
