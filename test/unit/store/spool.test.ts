import { closeSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, test } from '@jest/globals'
import { headBytes, recordsIn, Spool, segmentBytes } from '../../../src/store/spool.ts'
import { onCleanup, temporaryDirectory } from './stores.ts'

function fresh(directory = temporaryDirectory()) {
  const spool = new Spool(directory)
  onCleanup(() => spool.close())
  expect(spool.isReady()).toBe(true)
  /** A record of so many bytes. */
  const write = (text: string, bytes = 0) =>
    spool.write(Buffer.concat([Buffer.alloc(headBytes), Buffer.from(text.padEnd(bytes))]))
  return { directory, spool, write }
}

const textsIn = (directory: string) =>
  recordsIn(directory).map(({ generation, body }) => `${generation}:${body.toString().trim()}`)

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
  for (const place of [at, at + 4, at + 9, at + 17, at + headBytes, at + 8_500, 0, 5, 12, 16, 25]) {
    const bytes = Buffer.from(sound)
    bytes[place] = (bytes[place] as number) ^ 0x10
    writeFileSync(file, bytes)
    expect(() => recordsIn(directory)).toThrow(new RegExp(`^${file} is damaged`))
  }
  for (const bytes of [
    Buffer.of(),
    sound.subarray(0, 8_192),
    Buffer.concat([Buffer.alloc(4_096), sound.subarray(4_096)]),
  ]) {
    writeFileSync(file, bytes)
    expect(() => recordsIn(directory)).toThrow(new RegExp(`^${file} is damaged`))
  }
  rmSync(file)
  expect(() => recordsIn(directory)).toThrow(new RegExp(`^${file} is damaged: it is missing`))
})

test('of the two files only the later one may end in pieces', () => {
  const { directory, write } = fresh()
  write('a')
  const { at } = write('b', segmentBytes - 20_000)
  write('c', 20_000)
  expect(textsIn(directory)).toEqual(['1:a', '1:b', '2:c'])
  overwrite(join(directory, 'spool-1'), at + 9_000, Buffer.alloc(1_000))
  expect(() => recordsIn(directory)).toThrow(/spool-1 is damaged: its end cannot be read/)
})

test('what somebody sends does not pass for a record of a later turn', () => {
  const { directory, spool, write } = fresh()
  write('first')
  const forged = readFileSync(join(directory, 'spool-1')).subarray(4_096, 8_192)
  forged.writeDoubleLE(3, 8) // the generation it will meet; the checksum is no secret either
  forged.writeUInt32LE(crc32(forged.subarray(4, forged.readUInt32LE(4))), 0)
  const payload = Buffer.concat([Buffer.alloc(4_096 - headBytes), ...Array.from({ length: 300 }, () => forged)])
  spool.write(Buffer.concat([Buffer.alloc(headBytes), payload]))
  write('other', segmentBytes - 8_192)
  write('later')
  expect(textsIn(directory)).toEqual(['2:other', '3:later'])
})

test('files in which nothing was written hold nothing', () => {
  const { directory } = fresh()
  expect(recordsIn(directory)).toEqual([])
})

test('a record that is longer than a file is refused before it is written', () => {
  const { write } = fresh()
  expect(() => write('x', segmentBytes)).toThrow(RangeError)
})

test('a place that was written over is not taken for what it held', () => {
  const { spool, write } = fresh()
  const place = write('a', segmentBytes / 2)
  for (const text of ['b', 'c']) write(text, segmentBytes / 2)
  expect(() => spool.read(place)).toThrow(/is not there any more/)
})

test('the next process begins with files of its own', () => {
  const { directory, spool, write } = fresh()
  write('a')
  spool.close()
  const next = fresh(directory)
  expect(textsIn(directory)).toEqual([])
  next.write('b')
  expect(textsIn(directory)).toEqual(['1:b'])
})
