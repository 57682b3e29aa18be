import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { mostBytes, readBounded, readSmallFile } from '../../../src/adapter/small-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'trivium-small-'))
const file = (name: string) => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true }))

test('a file is read whole, through a link too', () => {
  writeFileSync(file('full'), Buffer.alloc(mostBytes, 'x'))
  symlinkSync(file('full'), file('link'))
  expect(readSmallFile(file('link'))).toHaveLength(mostBytes)
  expect(readBounded(file('link'))).toHaveLength(mostBytes)
})

test('what has no end, or waits for somebody, is refused at once', () => {
  execFileSync('mkfifo', [file('pipe')])
  writeFileSync(file('large'), Buffer.alloc(mostBytes + 1))
  const codeOf = (path: string) => expect.objectContaining({ code: path })
  expect(() => readSmallFile('/dev/zero')).toThrow(codeOf('NOT_A_FILE'))
  expect(() => readSmallFile(file('pipe'))).toThrow(codeOf('NOT_A_FILE'))
  expect(() => readSmallFile(folder)).toThrow(codeOf('EISDIR'))
  expect(() => readSmallFile(file('large'))).toThrow(codeOf('FILE_TOO_LARGE'))
  expect(() => readSmallFile(file('none'))).toThrow(codeOf('ENOENT'))
  expect(() => readBounded('/dev/zero')).toThrow(codeOf('FILE_TOO_LARGE'))
})
