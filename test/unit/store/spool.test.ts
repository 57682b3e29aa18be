import { closeSync, openSync, readdirSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { headBytes, recordsIn, Spool, segmentBytes } from '../../../src/store/spool.ts'
import { onCleanup, temporaryDirectory } from './stores.ts'

function fresh(directory = temporaryDirectory(), firstGeneration = 1) {
  const spool = new Spool(directory, firstGeneration)
  onCleanup(() => spool.close())
  expect(spool.isReady()).toBe(true)
  /** A record of so many bytes. */
  const write = (text: string, bytes = 0) =>
    spool.write(Buffer.concat([Buffer.alloc(headBytes), Buffer.from(text.padEnd(bytes))]))
  return { directory, spool, write }
}

const textsIn = (directory: string, firstGeneration = 1) =>
  recordsIn(directory, firstGeneration).map(({ generation, body }) => `${generation}:${body.toString().trim()}`)

function overwrite(file: string, at: number, bytes: Buffer): void {
  const handle = openSync(file, 'r+')
  writeSync(handle, bytes, 0, bytes.length, at)
  closeSync(handle)
}

test('what was written is read back, by its place and by the next process, in order', () => {
  const { directory, spool, write } = fresh()
  const places = ['a', 'b', 'c'].map((text) => write(text, 5_000))
  expect(places.map((place) => spool.read(place).toString().trim())).toEqual(['a', 'b', 'c'])
  expect(textsIn(directory)).toEqual(['1:a', '1:b', '1:c'])
  expect(textsIn(directory, 2)).toEqual([])
})

test('its files are made whole, closed to others, and are gone when it is removed', () => {
  const { directory, spool } = fresh()
  const files = readdirSync(directory).map((name) => join(directory, name))
  expect(files.map((file) => statSync(file).size)).toEqual([segmentBytes, segmentBytes])
  expect(files.map((file) => statSync(file).blocks * 512 >= segmentBytes)).toEqual([true, true])
  expect(files.map((file) => statSync(file).mode & 0o777)).toEqual([0o600, 0o600])
  spool.remove()
  expect(readdirSync(directory)).toEqual([])
})

test('a file that is full is left for the other one, which begins anew', () => {
  const { directory, spool, write } = fresh()
  const half = segmentBytes / 2
  const generations = ['a', 'b', 'c', 'd'].map((text) => write(text, half).generation)
  expect(generations).toEqual([1, 2, 3, 4])
  expect(textsIn(directory)).toEqual(['3:c', '4:d'])
  expect(spool.generation).toBe(4)
  expect(spool.hasRoomFor(half)).toBe(false)
})

test('of a file that begins anew nothing old is left, however little is new', () => {
  const { directory, write } = fresh()
  for (let n = 1; n <= 10; n += 1) write(`old ${n}`)
  write('other', segmentBytes - 8_192)
  write('new')
  expect(textsIn(directory)).toEqual(['2:other', '3:new'])
})

test('a record that is not whole ends the list where it is the last', () => {
  for (const cut of [0, 10, headBytes, headBytes + 3_000, 6_000]) {
    const { directory, spool, write } = fresh()
    write('first')
    const { at } = write('last', 7_000)
    const file = join(directory, `spool-${spool.generation % 2}`)
    overwrite(file, at + cut, Buffer.alloc(1_000))
    expect({ cut, found: textsIn(directory) }).toEqual({ cut, found: ['1:first'] })
  }
})

test('damage before others, or of the first page, is refused with the name of the file', () => {
  const { directory, write } = fresh()
  const { at } = write('first', 9_000)
  write('second')
  const file = join(directory, 'spool-1')
  const sound = readFileSync(file)
  for (const place of [at, at + 4, at + 9, at + 17, at + headBytes, at + 8_500, 0, 5, 12, 16]) {
    const bytes = Buffer.from(sound)
    bytes[place] = (bytes[place] as number) ^ 0x10
    writeFileSync(file, bytes)
    expect(() => recordsIn(directory, 1)).toThrow(new RegExp(`^${file} is damaged`))
  }
})

test('files that are missing, cut off or empty hold nothing', () => {
  const directory = temporaryDirectory()
  expect(recordsIn(directory, 1)).toEqual([])
  writeFileSync(join(directory, 'spool-0'), '')
  writeFileSync(join(directory, 'spool-1'), Buffer.alloc(100))
  expect(recordsIn(directory, 1)).toEqual([])
})

test('a place that was written over is not taken for what it held', () => {
  const { spool, write } = fresh()
  const place = write('a', segmentBytes / 2)
  for (const text of ['b', 'c']) write(text, segmentBytes / 2)
  expect(() => spool.read(place)).toThrow(/is not there any more/)
})

test('the next process writes in generations of its own', () => {
  const { directory, spool, write } = fresh()
  write('a')
  spool.close()
  const next = fresh(directory, 2)
  next.write('b')
  expect(textsIn(directory, 2)).toEqual(['2:b'])
})
