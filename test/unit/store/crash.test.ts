/** What holds when the process dies: everything it was told is safe is there, and the next process can open the store. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from '@jest/globals'
import type { FailpointName } from '../../../src/failpoint.ts'
import { sequenceOf } from '../../../src/store/contract.ts'
import { appended, idsOf, onCleanup, open, readAll, temporaryDirectory } from './stores.ts'

type Child = ChildProcessByStdio<null, Readable, null>

function child(directory: string, what: string, { failpoint = '', from = 0 } = {}): Child {
  const args = ['--no-warnings', join(import.meta.dirname, 'child.ts'), directory, what, String(from)]
  const env = { ...process.env, TRIVIUM_FAILPOINT: failpoint }
  const process_ = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
  onCleanup(() => process_.kill('SIGKILL'))
  return process_
}

/** All lines until it is gone; with `killAfter`, it is killed once it has written so many. */
async function linesOf(process_: Child, killAfter = Number.POSITIVE_INFINITY): Promise<string[]> {
  const lines: string[] = []
  for await (const line of createInterface({ input: process_.stdout })) {
    lines.push(line)
    if (lines.length === killAfter) process_.kill('SIGKILL')
  }
  if (process_.exitCode === null && process_.signalCode === null) await once(process_, 'exit')
  return lines
}

const told = (lines: readonly string[], mark: string) =>
  lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(1))

/** Opens what a dead process left, and compares it with what that process was told. */
function checkAfter(directory: string, lines: readonly string[]): void {
  const store = open(directory)
  store.outbox.route('first', ['a'])
  const found = new Set(idsOf(readAll(store)))
  const letters = new Set(idsOf(store.deadLetters.list({}, { after: 0, limit: 1_000_000 })))
  const finished = new Set(told(lines, '-'))
  const kept = new Set([...store.kept.all('c', 's')].map(([key]) => key))
  const stored = told(lines, '+')
  const isExcused = (n: string) => finished.has(n) || Number(n) % 3 === 0 // its finish may be on disk and untold
  expect(stored.filter((n) => !found.has(n) && !isExcused(n))).toEqual([])
  expect([...finished].filter((n) => found.has(n) && Number(n) % 10 !== 0)).toEqual([])
  expect(told(lines, '!').filter((n) => !letters.has(n) && !(Number(n) % 10 === 0 && found.has(n)))).toEqual([])
  expect(stored.filter((n) => Number(n) % 4 === 0 && !kept.has(n))).toEqual([])
  for (const { envelope } of readAll(store)) {
    const n = Number(envelope.messageId)
    expect(Buffer.compare(envelope.payload ?? Buffer.of(), Buffer.alloc(n % 5000, n))).toBe(0)
  }
  store.close()
}

test('a second process is refused while the first lives, and not when it was killed', async () => {
  const directory = temporaryDirectory()
  const first = child(directory, 'hold')
  await once(first.stdout, 'data')
  expect(() => open(directory)).toThrow(
    expect.objectContaining({ code: 'STORE_IN_USE', retryable: false, message: expect.stringContaining(directory) }),
  )
  first.kill('SIGKILL')
  await once(first, 'exit')
  open(directory).close()
})

test('of processes that start at once where nothing is yet, one has the store and the others are told so', async () => {
  for (let round = 0; round < 4; round++) {
    const directory = join(temporaryDirectory(), 'not', 'there', 'yet')
    const args = ['--no-warnings', join(import.meta.dirname, 'child.ts'), directory, 'hold']
    const children = Array.from({ length: 4 }, () =>
      spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] }),
    )
    for (const each of children) onCleanup(() => each.kill('SIGKILL'))
    const words = await Promise.all(
      children.map(({ stdout, stderr }) => Promise.race([text(stderr), once(stdout, 'data').then(String)])),
    )
    expect(words.filter((word) => word === 'ready\n')).toHaveLength(1)
    expect(words.filter((word) => word.includes('STORE_IN_USE'))).toHaveLength(3)
  }
})

test('so is a second store in this process', () => {
  const directory = temporaryDirectory()
  const first = open(directory)
  expect(() => open(directory)).toThrow(expect.objectContaining({ code: 'STORE_IN_USE' }))
  first.close()
  open(directory)
})

test('everything called back is there after kill -9 in the middle of writing', async () => {
  const directory = temporaryDirectory()
  const all: string[] = []
  for (const [from, killAfter] of [
    [0, 137],
    [100_000, 2500],
    [200_000, 1234],
  ] as const) {
    // biome-ignore format: a table
    const lines = await linesOf(child(directory, 'write', { from }), killAfter)
    expect(lines.length).toBeGreaterThanOrEqual(killAfter)
    all.push(...lines)
    checkAfter(directory, all)
  }
})

const points: readonly `${FailpointName}${'' | ':2' | ':3' | ':5'}`[] = [
  'store.before-commit:5',
  'store.after-commit:3',
  'store.before-finish-commit:2',
  'store.checkpoint',
  'store.checkpoint:2',
  'dead-letter.before-commit:2',
  'dead-letter.after-commit',
  'requeue.before-commit:3',
  'requeue.after-commit:2',
  'session.before-commit:2',
]
test.each(points)('so it is when the process dies at %s', async (point) => {
  const directory = temporaryDirectory()
  const process_ = child(directory, 'write', { failpoint: point })
  const lines = await linesOf(process_)
  expect(process_.signalCode).toBe('SIGKILL')
  checkAfter(directory, lines)
})

test('a process that follows one that died knows what it finds, and counts starts', async () => {
  const directory = temporaryDirectory()
  const first = open(directory)
  first.outbox.route('first', ['a'])
  const ids = await appended(first, {}, {}, {}, {})
  first.close()
  for (const times of [1, 2]) {
    await linesOf(child(directory, 'start', { failpoint: 'start.marked' }))
    const command = open(directory)
    command.deadLetters.discard([])
    command.close() // does not hide that a process died before
    const store = open(directory)
    expect(store.outbox.recoveredUpTo).toBe(sequenceOf(ids[3] as number))
    expect(readAll(store).map(({ starts }) => starts)).toEqual([times, times, times, 0])
    store.outbox.markStart(1, ids)
    store.close()
  }
  const clean = open(directory)
  expect([clean.outbox.recoveredUpTo, readAll(clean).map(({ starts }) => starts)]).toEqual([0, [2, 2, 2, 0]])
})
