import { describe, expect, it, jest } from '@jest/globals'
import fc from 'fast-check'
import { epochMs, isoText, timeText } from '../../../src/envelope/time.ts'

const earliest = Date.parse('0001-01-01T00:00:00.000Z')
const latest = Date.parse('9999-12-31T23:59:59.999Z')

describe('isoText', () => {
  it('knows the last second before 1970, also as the first that is asked', async () => {
    jest.resetModules()
    const fresh = await import('../../../src/envelope/time.ts')
    expect(fresh.isoText(-500)).toBe('1969-12-31T23:59:59.500Z')
  })

  it('is what Date says, whatever was asked before', () => {
    fc.assert(
      fc.property(fc.integer({ min: earliest, max: latest }), (ms) => isoText(ms) === new Date(ms).toISOString()),
    )
    fc.assert(fc.property(fc.integer({ min: -5000, max: 5000 }), (ms) => isoText(ms) === new Date(ms).toISOString()))
  })

  it.each([earliest - 1, Number.NaN, Number.POSITIVE_INFINITY, latest + 1])('is now for %d', (ms) => {
    expect(Math.abs(Date.parse(isoText(ms)) - Date.now())).toBeLessThan(5000)
  })
})

describe('timeText', () => {
  it.each([
    ['2026-11-23T21:00:00.123456+01:00', '2026-11-23T21:00:00.123456+01:00'],
    ['1796091771935', '2026-12-01T02:22:51.935Z'],
    ['1796091771', '2026-12-01T02:22:51.000Z'],
    ['1796091771935123', '2026-12-01T02:22:51.935Z'],
    ['1796091771935123456', '2026-12-01T02:22:51.935Z'],
    ['0', '1970-01-01T00:00:00.000Z'],
    ['2026-11-23 20:00:00+01:00', '2026-11-23T20:00:00+01:00'],
    ['2026-11-23T20:00:00.5', '2026-11-23T20:00:00.5Z'],
    ['yesterday', undefined],
    ['', undefined],
    ['2026-13-01 00:00:00', undefined],
  ])('makes RFC 3339 of %j: %j', (text, expected) => {
    expect(timeText(text)).toBe(expected)
  })
})

describe('epochMs', () => {
  it('reads what isoText wrote, whatever was asked before', () => {
    fc.assert(fc.property(fc.integer({ min: earliest, max: latest }), (ms) => epochMs(isoText(ms)) === ms))
    fc.assert(fc.property(fc.integer({ min: -5000, max: 5000 }), (ms) => epochMs(isoText(ms)) === ms))
  })

  it('reads offsets and fractions', () => {
    expect(epochMs('2026-11-23T21:00:00.123456+01:00')).toBe(Date.parse('2026-11-23T20:00:00.123Z'))
    expect(epochMs('2026-11-23t20:00:00z')).toBe(Date.parse('2026-11-23T20:00:00Z'))
  })

  it.each(['', 'yesterday', '2026', '2026-13-01T00:00:00Z', '2026-11-23T20:00:00'])('gives nothing for %j', (text) => {
    expect(epochMs(text)).toBeUndefined()
  })

  it('is not misled by a text that starts like the one before', () => {
    expect(epochMs('2026-11-23T20:00:00.123Z')).toBeDefined()
    expect(epochMs('2026-11-23T20:00:00.a23Z')).toBeUndefined()
    expect(epochMs('2026-11-23T20:00:00.:::Z')).toBeUndefined()
    expect(epochMs('2026-11-23T20:00:00.0:5Z')).toBeUndefined()
  })
})
