import { expect, test } from '@jest/globals'
import { z } from 'zod'
import { clientTls, duration, secret, size } from '../../../src/adapter/schema.ts'

test.each([
  ['200ms', 200],
  ['5s', 5_000],
  ['1.5s', 1_500],
  ['1m', 60_000],
  ['2h', 7_200_000],
  ['7d', 604_800_000],
  ['0ms', 0],
  ['0.4ms', 0],
])('the duration %s is %d ms', (text, ms) => {
  expect(duration().parse(text)).toBe(ms)
})

test.each(['', '5', '5 s', 's', '-1s', '1w', '5S', '1e3ms', '.5s', '5s '])('%j is no duration', (text) => {
  const { error } = duration().safeParse(text)
  expect(error?.issues[0]?.message).toBe('expected a duration such as 200ms, 5s, 1m, 2h or 7d')
})

test('a number without unit is no duration, and the message says what is expected', () => {
  expect(duration().safeParse(5).error?.issues[0]?.message).toBe('expected a duration such as 200ms, 5s, 1m, 2h or 7d')
})

test.each([
  ['0B', 0],
  ['512B', 512],
  ['64KiB', 65_536],
  ['1.5MiB', 1_572_864],
  ['2GiB', 2_147_483_648],
])('the size %s is %d bytes', (text, bytes) => {
  expect(size().parse(text)).toBe(bytes)
})

test.each(['64KB', '64kib', '64', 'KiB', '-1B', 64])('%j is no size', (text) => {
  expect(size().safeParse(text).error?.issues[0]?.message).toBe('expected a size such as 64KiB or 1MiB')
})

test('a secret is marked, so that no dump shows it', () => {
  expect(secret().meta()).toMatchObject({ secret: true })
})

test('the tls settings refuse a misspelt key', () => {
  expect(clientTls().parse({})).toEqual({})
  expect(clientTls().safeParse({ rejectUnauthorized: false }).error?.issues[0]?.code).toBe('unrecognized_keys')
})

test('durations and sizes have a JSON Schema of their written form', () => {
  const schema = z.toJSONSchema(z.object({ wait: duration(), most: size() }), { io: 'input' })
  expect(schema.properties).toMatchObject({ wait: { type: 'string' }, most: { type: 'string' } })
})
