import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from '@jest/globals'
import { GatewayError } from '../../../src/errors.ts'
import { randomFrom } from '../../support/random.ts'
import { appended, idsOf, message, open, readAll, temporaryDirectory } from './stores.ts'

const fileOf = (directory: string) => join(directory, 'trivium.db')
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

/** A closed store with a few things of each kind in it. */
async function filled(count = 200): Promise<string> {
  const directory = temporaryDirectory()
  const store = open(directory)
  store.outbox.route('first', ['a'])
  const payload = Buffer.alloc(700, 'x')
  await appended(
    store,
    ...Array.from({ length: count }, (_, i) => ({
      ...{ envelope: message({ messageId: `${i}`, payload }), key: 'k' },
    })),
  )
  store.close()
  return directory
}

test('the directory and its files are closed to other users', async () => {
  const directory = join(temporaryDirectory(), 'a', 'b')
  const store = open(directory)
  store.outbox.route('first', ['a'])
  expect(modeOf(directory)).toBe('700')
  const files = readdirSync(directory).sort()
  expect(files).toEqual(['reserve', 'trivium.db', 'trivium.db-wal'])
  expect(files.map((file) => modeOf(join(directory, file)))).toEqual(['600', '600', '600'])
  expect(statSync(join(directory, 'reserve')).blocks * 512).toBeGreaterThanOrEqual(4 * 1024 ** 2)
  store.close()
  expect(readdirSync(directory).sort()).toEqual(['reserve', 'trivium.db'])
})

test('closing commits what was handed over, and may be called twice', async () => {
  const directory = temporaryDirectory()
  const store = open(directory)
  store.outbox.route('first', ['a'])
  const answers = appended(store, {}, {})
  store.close()
  store.close()
  expect(await answers).toHaveLength(2)
  expect(readAll(open(directory))).toHaveLength(2)
})

test('a file of a newer version is refused, and not touched', async () => {
  const directory = await filled()
  const database = new DatabaseSync(fileOf(directory))
  database.exec('PRAGMA user_version = 99')
  database.close()
  expect(() => open(directory)).toThrow(expect.objectContaining({ message: expect.stringMatching(/newer .*99/) }))
  const again = new DatabaseSync(fileOf(directory))
  expect(again.prepare('SELECT sum(count) AS count FROM pages').get()?.count).toBe(200)
  again.close()
})

test('a database of another program is refused', () => {
  const directory = temporaryDirectory()
  const database = new DatabaseSync(fileOf(directory))
  database.exec('CREATE TABLE mine (a)')
  database.close()
  expect(() => open(directory)).toThrow(expect.objectContaining({ code: 'STORE_DAMAGED' }))
})

test('a damaged file is refused with its name and what to do', async () => {
  const directory = await filled()
  const file = fileOf(directory)
  const bytes = readFileSync(file)
  bytes.fill(0x5a, 30 * 4096, 31 * 4096) // of messages: nothing that opening itself would read
  writeFileSync(file, bytes)
  const told = expect.stringMatching(new RegExp(`^${file} is damaged: .*Copy the directory away`))
  expect(() => open(directory)).toThrow(expect.objectContaining({ code: 'STORE_DAMAGED', message: told }))
})

test('a directory that cannot be made is told', () => {
  const directory = temporaryDirectory()
  writeFileSync(join(directory, 'file'), '')
  expect(() => open(join(directory, 'file', 'store'))).toThrow(expect.objectContaining({ code: 'STORE_FAILED' }))
})

test('the reserve is made again where it is missing or cut off', () => {
  const directory = temporaryDirectory()
  open(directory).close()
  writeFileSync(join(directory, 'reserve'), 'short')
  open(directory).close()
  expect(statSync(join(directory, 'reserve')).size).toBe(4 * 1024 ** 2)
  expect(existsSync(fileOf(directory))).toBe(true)
})

test('garbage: any file opens, or is refused with an error of ours', async () => {
  const sound = readFileSync(fileOf(await filled(30)))
  const directory = temporaryDirectory()
  const random = randomFrom(20_261_123)
  const outcomes = { opened: 0, refused: 0 }
  for (let round = 0; round < 500; round++) {
    writeFileSync(fileOf(directory), mutated(sound, random))
    try {
      const store = open(directory)
      try {
        use(store)
      } finally {
        store.close()
      }
      outcomes.opened += 1
    } catch (error) {
      expect({ round, error, isOurs: error instanceof GatewayError }).toMatchObject({ isOurs: true })
      outcomes.refused += 1
    }
  }
  expect(outcomes.opened).toBeGreaterThan(5)
  expect(outcomes.refused).toBeGreaterThan(100)
})

test('a directory that cannot be made is told at once, and why', () => {
  const file = join(temporaryDirectory(), 'file')
  writeFileSync(file, '')
  expect(() => open(join(file, 'data'))).toThrow(/ENOTDIR/)
  if (process.platform === 'linux') expect(() => open('/proc/trivium/data')).toThrow(/ENOENT/)
})

function use(store: ReturnType<typeof open>): void {
  idsOf(readAll(store))
  store.outbox.ends(1)
  store.deadLetters.list({}, { after: 0, limit: 10 })
  void store.outbox.total
}

/** Nothing, noise, a part, or a sound file with a few bytes changed. */
function mutated(sound: Buffer, random: (below: number) => number): Buffer {
  const kind = random(10)
  if (kind === 0) return Buffer.from(Array.from({ length: random(10_000) }, () => random(256)))
  if (kind === 1) return sound.subarray(0, random(sound.length))
  const bytes = Buffer.from(sound)
  for (let times = random(8); times >= 0; times--) bytes[random(kind < 4 ? 4096 : bytes.length)] = random(256)
  return bytes
}
