/**
 * `aedes-persistence`'s own tests of a persistence, run by `node --test` against what the embedded broker keeps, in the
 * store of the folder that TRIVIUM_TEST_STORE names.
 */
import { createRequire } from 'node:module'
import { after, test } from 'node:test'
import type { Persistence } from '../../../protocols/mqtt/broker/driver.ts'
import { Sessions } from '../../../protocols/mqtt/broker/sessions/sessions.ts'
import type { Kept } from '../../../src/adapter/contract.ts'
import { openStore } from '../../../src/store/store.ts'
import { silentLog } from './log.ts'

const require = createRequire(import.meta.url)
const memory: () => Persistence = require('aedes-persistence')
const abstractSuite: (options: object) => void = require('aedes-persistence/abstract.js')

const store = openStore({
  directory: process.env.TRIVIUM_TEST_STORE as string,
  maxBytes: 1024 ** 3,
  log: silentLog,
  onFatal: (error) => {
    throw error
  },
})
after(() => store.close())

const rules = {
  mayKeep: () => true,
  usernameOf: () => undefined,
  onEnd: () => {},
  onDropped: () => {},
  onExpired: () => {},
  hasListener: () => false,
}
let instances = 0

/** Each is a connection of its own. */
function persistence(): Sessions {
  instances += 1
  const connection = `connection-${instances}`
  const kept: Kept = {
    all: (space) => store.kept.all(connection, space),
    put: ({ space, key, value }) => store.kept.put(connection, space, key, value),
    delete: (space, key) => store.kept.delete(connection, space, key),
    flushed: () => store.flushed(),
  }
  return new Sessions(memory(), rules, kept)
}

abstractSuite({ test, persistence, testAsync: true })
