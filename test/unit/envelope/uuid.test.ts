import { describe, expect, it } from '@jest/globals'
import { uuidv7 } from '../../../src/envelope/uuid.ts'

describe('uuidv7', () => {
  it('has version, variant and time', () => {
    const ms = Date.parse('2999-11-23T20:00:00.123Z')
    const uuid = uuidv7(ms)
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16)).toBe(ms)
  })

  it('grows within a millisecond, beyond its counter, and when the clock steps back', () => {
    const ms = Date.parse('2999-11-23T21:00:00.123Z')
    const uuids = Array.from({ length: 10_000 }, (_, i) => uuidv7(ms - (i % 3)))
    expect(uuids.toSorted()).toEqual(uuids)
    expect(new Set(uuids).size).toBe(uuids.length)
  })

  it('draws new random bits for a new millisecond', () => {
    const ms = Date.parse('2999-11-23T22:00:00.123Z')
    const tails = Array.from({ length: 2000 }, (_, i) => uuidv7(ms + i).slice(19))
    expect(new Set(tails).size).toBe(tails.length)
  })
})
