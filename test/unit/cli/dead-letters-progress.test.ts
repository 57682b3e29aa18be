import { expect, test } from '@jest/globals'
import { Progress, type ProgressStream } from '../../../src/cli/dead-letters/progress.ts'

const clear = '\r\u001b[K'

function progressOn(stream: Omit<ProgressStream, 'write'>, total: number) {
  const written: string[] = []
  let nowMs = 0
  const progress = new Progress(
    'requeued',
    total,
    { ...stream, write: (text: string) => written.push(text) },
    () => nowMs,
  )
  const advance = (by: number, afterMs: number) => {
    nowMs += afterMs
    progress.advance(by)
  }
  return { progress, advance, written }
}

test('a bar on a terminal, drawn over itself ten times a second at most, and taken away at the end', () => {
  const { progress, advance, written } = progressOn({ isTTY: true, columns: 80 }, 1_000)
  advance(250, 200)
  advance(1, 10)
  expect(written).toHaveLength(1)
  expect(written[0]?.startsWith(clear)).toBe(true)
  expect(written[0]?.slice(clear.length)).toMatch(/^█{9,10}░+ requeued 250 of 1000 \(25%\), 1250\/s$/)
  expect((written[0] ?? '').length).toBeLessThanOrEqual(80 + 5)
  progress.clear()
  expect(written.at(-1)).toBe(clear)
})

test('a narrow terminal gets the figures only', () => {
  const { advance, written } = progressOn({ isTTY: true, columns: 40 }, 10)
  advance(10, 200)
  expect(written[0]).toMatch('requeued 10 of 10 (100%)')
  expect(written[0]).not.toContain('█')
})

test('elsewhere a plain line every five seconds, and none for what is quick', () => {
  const { progress, advance, written } = progressOn({ isTTY: false }, 100)
  advance(10, 1_000)
  expect(written).toEqual([])
  advance(40, 4_500)
  progress.clear()
  expect(written).toEqual(['requeued 50 of 100 (50%), 9/s\n'])
})

test('more than was expected never makes more than all', () => {
  const { advance, written } = progressOn({ isTTY: false }, 1)
  advance(3, 6_000)
  expect(written[0]).toContain('3 of 3 (100%)')
})
