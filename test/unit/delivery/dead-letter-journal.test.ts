import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { PermanentError } from '../../../src/errors.ts'
import { DeadLetterJournal } from '../../../src/store/dead-letter-journal.ts'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'trivium-letters-'))
})
afterEach(() => rm(directory, { recursive: true }))

const file = () => join(directory, 'dead-letters.ndjson')

function letter(messageId: string): DeadLetter {
  const envelope = new Envelope({ messageId, timestamp: '2026-01-01T00:00:00Z', source: 'memory://a/b', payload: null })
  const error = new PermanentError('MESSAGE_REFUSED', 'no')
  return { envelope, reason: 'rejected', error, attempts: 1, route: 'r', target: undefined, firstAt: 0, lastAt: 0 }
}

async function idsOnDisk(): Promise<unknown[]> {
  const lines = (await readFile(file(), 'utf8')).split('\n').filter((line) => line.startsWith('{"reason"'))
  return lines.map((line) => (JSON.parse(line) as { message: { messageId: string } }).message.messageId)
}

describe('dead letter journal', () => {
  test('keeps letters in order, also over a restart', async () => {
    for (const ids of [['a', 'b'], ['c']]) {
      const journal = new DeadLetterJournal(directory)
      await Promise.all(ids.map((id) => journal.add(letter(id))))
      await journal.close()
    }
    expect(await idsOnDisk()).toEqual(['a', 'b', 'c'])
  })

  test('begins a line of its own behind one that a crash has torn', async () => {
    await appendFile(file(), '{"torn":')
    const journal = new DeadLetterJournal(directory)
    await journal.add(letter('a'))
    await journal.close()
    expect(await idsOnDisk()).toEqual(['a'])
  })
})
