/** A route whose `acknowledge` is changed does not forget what it had in the store. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { memory, memoryBus } from '../../protocols/memory/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { Gateway } from '../../src/gateway.ts'
import { silentLog } from '../support/contexts/log.ts'
import { memoryAway } from '../support/contexts/watched-memory.ts'
import { eventually } from '../support/poll.ts'

test('what waits in the store is delivered by a route that acknowledges delivered now, before and beside what is new', async () => {
  const [inlet, outlet] = [`inlet-${randomUUID()}`, `outlet-${randomUUID()}`]
  const [source, target] = [memoryBus(inlet), memoryBus(outlet)]
  const dataDir = await mkdtemp(join(tmpdir(), 'trivium-custody-'))
  const start = (acknowledge: 'stored' | 'delivered', protocol = memory): Gateway => {
    const yaml = `
gateway: { id: custody, admin: false, dataDir: ${JSON.stringify(dataDir)} }
connections:
  inlet: { protocol: memory, bus: ${inlet} }
  outlet: { protocol: memory, bus: ${outlet} }
routes:
  - name: road
    from: { connection: inlet, topic: in }
    to: [{ connection: outlet, topic: out }]
    acknowledge: ${acknowledge}
`
    const { config } = loadConfig(yaml, { file: 'custody.yaml', env: {}, protocols: [protocol] })
    const gateway = new Gateway(config!, [protocol], silentLog)
    gateway.start()
    return gateway
  }
  const publish = (text: string) => source.publish('in', { payload: Buffer.from(text), key: 'k' })
  const first = start('stored', memoryAway)
  publish('old')
  await eventually(() => first.status().store.waiting === 1, { what: 'it is in the store' })
  await first.stop()
  const second = start('delivered')
  publish('new')
  await eventually(() => target.size === 2, { what: 'both arrive' })
  await eventually(() => second.status().store.waiting === 0, { what: 'the store lets go of it' })
  const [route] = second.status().routes
  expect(route).toMatchObject({ matched: 1, restored: 1, delivered: 2, inFlight: 0, waiting: 0 })
  await second.stop()
  await rm(dataDir, { recursive: true })
})
