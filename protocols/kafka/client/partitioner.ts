/** Which partition a record belongs to: by key exactly as Kafka's Java clients, without a key a whole batch at a time. */

/** MurmurHash2 with the Java client's seed, as a signed 32-bit integer; of the first `length` bytes. */
export function murmur2(data: Uint8Array, length = data.length): number {
  const m = 0x5bd1e995
  let h = 0x9747b28c ^ length
  const whole = length & ~3
  for (let i = 0; i < whole; i += 4) {
    let k = byte(data, i) | (byte(data, i + 1) << 8) | (byte(data, i + 2) << 16) | (byte(data, i + 3) << 24)
    k = Math.imul(k, m)
    k = Math.imul(k ^ (k >>> 24), m)
    h = Math.imul(h, m) ^ k
  }
  const rest = length - whole
  if (rest === 3) h ^= byte(data, whole + 2) << 16
  if (rest >= 2) h ^= byte(data, whole + 1) << 8
  if (rest >= 1) h = Math.imul(h ^ byte(data, whole), m)
  h = Math.imul(h ^ (h >>> 13), m)
  return h ^ (h >>> 15)
}

function byte(data: Uint8Array, index: number): number {
  return data[index] as number
}

/** The partition of a key among `count`: `toPositive(murmur2(key)) % count`. */
export function partitionOfKey(key: Uint8Array | string, count: number): number {
  return (hashOf(key) & 0x7fffffff) % count
}

/** For the UTF-8 of one key at a time. */
const keyBytes = Buffer.alloc(512)

function hashOf(key: Uint8Array | string): number {
  if (typeof key !== 'string') return murmur2(key)
  if (key.length * 3 > keyBytes.length) return murmur2(Buffer.from(key))
  return murmur2(keyBytes, keyBytes.write(key))
}

/** Names may come from templates. */
const maxTopics = 10_000

/** Chooses for records without a key: one partition for all of a batch, the next for the next batch. */
export class Sticky {
  /** A topic that is forgotten begins at random again. */
  readonly #next = new Map<string, number>()

  /** The partition to use for one topic in one batch; `usable` are partitions that have a leader. */
  choose(topic: string, usable: readonly number[]): number | undefined {
    if (this.#next.size >= maxTopics) this.#next.clear()
    const turn = this.#next.get(topic) ?? Math.floor(Math.random() * usable.length)
    this.#next.set(topic, (turn + 1) % Math.max(1, usable.length))
    return usable[turn % usable.length]
  }
}
