import { join } from 'node:path'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'
import { envelopeOf, fill, letterOf, storeAt, waitingFor } from '../../support/gateway/dead-letters.ts'
import { type ProcessOptions, trivium } from './command.ts'
import { folderWith } from './files.ts'

export const siteYaml = `
gateway: { id: shop, dataDir: ./data, admin: { listen: off } }
connections: { inside: { protocol: memory } }
routes:
  - name: orders
    from: { connection: inside, topic: "orders/{site}" }
    to: [{ connection: inside, topic: "accepted/{params.site}" }]
`

/** A folder with a configuration and a store, and the commands there while no gateway runs. */
export async function siteWith(letters: readonly DeadLetter[], afterwards: (clean: () => void) => void) {
  const folder = folderWith({ 'trivium.yaml': siteYaml })
  afterwards(folder.remove)
  const dataDir = join(folder.path, 'data')
  const store = storeAt(dataDir)
  await fill(store, letters)
  store.close()
  const command = (args: readonly string[], options: ProcessOptions = {}) =>
    trivium(['dead-letters', ...args], { cwd: folder.path, ...options })
  /** What the store holds now: ids of dead letters, and ids of messages that wait. */
  const look = () => {
    const store = storeAt(dataDir)
    const { route } = store.outbox.route('orders', ['inside/accepted/{params.site}'])
    const dead = store.deadLetters.list({}, { after: 0, limit: 10_000 })
    const waiting = waitingFor(store, route).map(({ envelope }) => envelope.messageId)
    store.close()
    return { dead, ids: dead.map(({ id }) => id), waiting }
  }
  return { path: folder.path, dataDir, command, look }
}

export const named = (messageId: string, changes: Partial<DeadLetter> = {}) =>
  letterOf({ envelope: envelopeOf({ messageId }), ...changes })
