/** Numbers that a seed repeats. */
export interface Random {
  readonly seed: number
  /** Evenly from [least, most). */
  between(least: number, most: number): number
}

/** mulberry32. The seed is $TRIVIUM_SEED, else the clock's; tests print it. */
export function randomOf(seed = Number(process.env.TRIVIUM_SEED ?? Date.now() % 1_000_000_000)): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return { seed, between: (least, most) => least + next() * (most - least) }
}

/** Whole numbers from 0 up to `below`, which is not among them. */
export function randomFrom(seed: number): (below: number) => number {
  const random = randomOf(seed)
  return (below) => Math.floor(random.between(0, below))
}
