import { describe, expect, it } from '@jest/globals'
import { Turns } from '../../../src/delivery/turns.ts'
import { charge, holdBudget, releaseBudget } from '../../../src/routing/meter.ts'

/** A decision that costs nearly all it may. */
function costly(): void {
  holdBudget()
  charge(700_000)
  releaseBudget()
}

/** A batch as the intake takes it: `each` for every message, until the turn is over. */
function batch(turns: Turns, names: readonly string[], each: (name: string) => void): () => boolean {
  let next = 0
  return () => {
    while (next < names.length && !turns.isOver) each(names[next++]!)
    return next === names.length
  }
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

describe('Turns', () => {
  it('puts off what is left of a turn that has cost enough, in the order it came', async () => {
    const turns = new Turns()
    const taken: string[] = []
    const each = (name: string) => {
      taken.push(name)
      costly()
    }
    for (const names of [['a1', 'a2', 'a3', 'a4'], ['b1'], []]) turns.take(batch(turns, names, each))
    expect(taken).toEqual(['a1', 'a2'])
    await nextTurn()
    expect(taken).toEqual(['a1', 'a2', 'a3', 'a4'])
    await nextTurn()
    expect(taken).toEqual(['a1', 'a2', 'a3', 'a4', 'b1'])
  })

  it('takes a batch of ordinary messages whole, at once', () => {
    const turns = new Turns()
    const taken: string[] = []
    const names = Array.from({ length: 10_000 }, (_, index) => String(index))
    turns.take(batch(turns, names, (name) => taken.push(name)))
    expect(taken).toHaveLength(10_000)
  })
})
