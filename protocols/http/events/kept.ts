/** Events that outlive a restart, as entries of the store: a line that says what it is, and the frame. */
import { z } from 'zod'
import type { Kept } from '../../../src/adapter/contract.ts'

export interface KeptEvent {
  /** Grows from one to the next, over restarts too where it is kept. */
  readonly seq: number
  readonly path: string
  /** As a reader gives it back. */
  readonly id: string
  readonly frame: Buffer
  readonly atMs: number
  readonly isKept: boolean
}

export const space = 'events'

/** Sorts as the numbers do. */
export const keyOf = (seq: number): string => String(seq).padStart(16, '0')

const Head = z.object({ path: z.string(), id: z.string(), atMs: z.number() })

export function writeKept({ path, id, atMs, frame }: KeptEvent): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify({ path, id, atMs })}\n`), frame])
}

/** In their order; one that cannot be read is deleted. */
export function* readKept(kept: Kept | undefined): Generator<KeptEvent> {
  for (const [key, value] of kept?.all(space) ?? []) {
    const event = read(key, Buffer.from(value))
    if (event !== undefined) yield event
    else kept?.delete(space, key)
  }
}

function read(key: string, bytes: Buffer): KeptEvent | undefined {
  const end = bytes.indexOf('\n')
  try {
    const head = Head.parse(JSON.parse(bytes.toString('utf8', 0, end)))
    return { ...head, seq: Number(key), frame: bytes.subarray(end + 1), isKept: true }
  } catch {
    return undefined
  }
}
