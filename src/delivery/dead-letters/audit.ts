import type { Log } from '../../adapter/contract.ts'

/** What somebody did with dead letters. */
export interface AuditedAction {
  readonly action: 'requeue' | 'edit' | 'discard' | 'export'
  /** Who: `api 127.0.0.1`, `cli root`. */
  readonly origin: string
  readonly ids: readonly number[]
  /** How it was asked for; what is undefined is left out. */
  readonly asked: object
}

/** Characters of one field; the log cuts a longer one. */
const maxIdsLength = 1_800

/** One line for an action, after it is done; more where its ids do not fit into one. */
export function audit(log: Log, { action, origin, ids, asked }: AuditedAction): void {
  if (ids.length === 0) return
  const told = Object.fromEntries(
    Object.entries(asked).filter(([name, value]) => value !== undefined && name !== 'ids'),
  )
  for (const { text, count } of idTexts(ids)) {
    const fields = { audit: `dead-letters.${action}`, origin, count, ids: text }
    log.info(`dead letters: ${action} of ${count} by ${origin}`, { ...fields, ...told })
  }
}

/** `1-500 503`, in pieces that a log line holds. */
function idTexts(ids: readonly number[]): { text: string; count: number }[] {
  const texts: { text: string; count: number }[] = []
  for (const [first, last] of rangesOf(ids)) {
    const range = first === last ? String(first) : `${first}-${last}`
    const latest = texts.at(-1)
    const count = last - first + 1
    if (latest === undefined || latest.text.length + range.length >= maxIdsLength) texts.push({ text: range, count })
    else texts[texts.length - 1] = { text: `${latest.text} ${range}`, count: latest.count + count }
  }
  return texts
}

function rangesOf(ids: readonly number[]): [first: number, last: number][] {
  const ranges: [number, number][] = []
  for (const id of ids) {
    const latest = ranges.at(-1)
    if (latest !== undefined && latest[1] + 1 === id) latest[1] = id
    else ranges.push([id, id])
  }
  return ranges
}
