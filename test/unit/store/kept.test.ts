import { expect, test } from '@jest/globals'
import { open, temporaryDirectory } from './stores.ts'

const bytes = (text: string) => Buffer.from(text)
const shown = (entries: Iterable<readonly [string, Uint8Array]>) =>
  [...entries].map(([key, value]) => [key, Buffer.from(value).toString()])

test('entries are kept by connection and space, the last of a key counts, and they outlive the process', async () => {
  const directory = temporaryDirectory()
  const store = open(directory)
  store.kept.put('c', 's', 'b', bytes('1'))
  store.kept.put('c', 's', 'b', bytes('2'))
  store.kept.put('c', 's', 'a', bytes(''))
  store.kept.put('c', 't', 'a', bytes('3'))
  store.kept.put('d', 's', 'a', bytes('4'))
  store.kept.put('c', 's', 'gone', bytes('5'))
  store.kept.delete('c', 's', 'gone')
  await store.flushed()
  store.kept.delete('d', 's', 'a') // not awaited: closing commits it
  store.close()
  const { kept } = open(directory)
  expect([shown(kept.all('c', 's')), shown(kept.all('c', 't')), shown(kept.all('d', 's'))]).toEqual([
    [['a', ''], ['b', '2']],
    [['a', '3']],
    [],
  ]) // biome-ignore format: a table
})

test('entries may be put and deleted while they are read', () => {
  const store = open(temporaryDirectory())
  for (const key of ['a', 'b', 'c']) store.kept.put('c', 's', key, bytes(key))
  store.deadLetters.discard([]) // commits
  const seen: string[] = []
  for (const [key] of store.kept.all('c', 's')) {
    store.kept.delete('c', 's', key)
    store.deadLetters.discard([])
    seen.push(key)
  }
  expect([seen, [...store.kept.all('c', 's')]]).toEqual([['a', 'b', 'c'], []])
})
