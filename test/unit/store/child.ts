/**
 * A process that uses a store until somebody ends it: `node child.ts <directory> <what> [from]`. Each line it writes names something
 * that it was told is safe: `+n` stored, `-n` finished, `!n` a dead letter, `=key` a kept entry.
 */
import { writeSync } from 'node:fs'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { PermanentError } from '../../../src/errors.ts'
import { openStore } from '../../../src/store/store.ts'

const [directory = '', what = 'write', from = '0'] = process.argv.slice(2)
const log = { debug() {}, info() {}, warn() {}, error() {} }
const store = openStore({ directory, maxBytes: 2 ** 30, log, onFatal: () => process.exit(74) })
const { route } = store.outbox.route('first', ['a'])
const say = (line: string) => writeSync(1, `${line}\n`)
const round = 50

function write(first: number): void {
  for (let n = first; n < first + round; n++) store.outbox.append(appendOf(n))
  setImmediate(write, first + round)
}

function appendOf(n: number) {
  const envelope = new Envelope({ messageId: `${n}`, timestamp: '', source: '', payload: Buffer.alloc(n % 5000, n) })
  const safe = (id: number) => {
    say(`+${n}`)
    if (n % 5 === 0) deadLetter(n, envelope)
    if (n % 3 !== 0) return
    store.outbox.finish({ id, route, wanted: 1, bits: 1, ended: () => say(`-${n}`) })
  }
  const entry = { space: 's', key: `${n}`, value: Buffer.from([n % 256]) }
  return {
    ...{ route, envelope, params: {}, wanted: 1, key: `${n % 7}` },
    ...{ keep: n % 4 === 0 ? { connection: 'c', entry } : undefined, safe, duplicate() {}, released() {} },
  }
}

function deadLetter(n: number, envelope: Envelope): void {
  const error = new PermanentError('MESSAGE_REFUSED', 'no')
  const letter = { envelope, error, reason: 'rejected', attempts: 1, route: 'first', target: 'a', bit: 1 } as const
  const rest = { params: {}, requeues: 0, firstAt: 0, lastAt: 0, toForward: false }
  store.deadLetters.add({ ...letter, ...rest }, (id) => {
    say(`!${n}`)
    if (n % 10 === 0) store.deadLetters.requeue([{ id, route, wanted: 1, dueAt: 0 }])
  })
}

if (what === 'write') write(Number(from))
else if (what === 'hold') setInterval(() => {}, 1000)
say('ready')
if (what === 'start') {
  const page = { after: 0, upTo: Number.MAX_SAFE_INTEGER, limit: 3, maxBytes: 2 ** 20 }
  store.outbox.markStart(
    route,
    store.outbox.read(route, 1, page).map(({ id }) => id),
  )
}
