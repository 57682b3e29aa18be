import { randomFillSync } from 'node:crypto'

const pool = Buffer.alloc(8 * 512)
let poolAt = pool.length
let currentMs = 0
let count = 0
let head = ''
let tail = ''

/** The 12 bits that count within a millisecond, as text. */
const counts = Array.from({ length: 0x1000 }, (_, i) => i.toString(16).padStart(3, '0'))

/**
 * A UUIDv7 greater than all before it in this process. RFC 9562, 6.2, method 1: a counter of 12 bits within the
 * millisecond, the 62 random bits drawn once per millisecond; a full counter borrows the next millisecond.
 */
export function uuidv7(nowMs = Date.now()): string {
  if (nowMs > currentMs) startMillisecond(nowMs)
  else if (count === 0x1000) startMillisecond(currentMs + 1)
  return head + counts[count++] + tail
}

function startMillisecond(ms: number): void {
  const time = ms.toString(16).padStart(12, '0')
  const random = draw()
  currentMs = ms
  count = 0
  head = `${time.slice(0, 8)}-${time.slice(8)}-7`
  tail = `-${random.slice(0, 4)}-${random.slice(4)}`
}

/** 62 random bits behind the variant `10`, as 16 hex digits. */
function draw(): string {
  if (poolAt === pool.length) {
    randomFillSync(pool)
    poolAt = 0
  }
  pool[poolAt] = (pool[poolAt]! & 0x3f) | 0x80
  const text = pool.toString('hex', poolAt, poolAt + 8)
  poolAt += 8
  return text
}
