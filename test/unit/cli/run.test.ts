/** What `trivium run` writes into its log at the start and at the end, and what `health` tells in between. */
import { expect, test } from '@jest/globals'
import { freePorts } from '../../support/ports.ts'
import { registerCleanups } from './cleanups.ts'
import { startTrivium, trivium } from './command.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()

test('warnings are lines of the log, as JSON where it is JSON; the last line tells what is left in the store', async () => {
  const [broker, admin, nobody] = (await freePorts(3)) as [number, number, number]
  const folder = folderWith({
    'trivium.yaml': `
gateway: { dataDir: ./data, admin: { listen: "127.0.0.1:${admin}" } }
connections:
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${broker}" }
  events: { protocol: amqp, url: "amqp://user:hunter2@127.0.0.1:${nobody}" }
routes:
  - { name: all, from: { connection: devices, topic: "in/#" }, to: [{ connection: events, queue: all }] }
`,
  })
  afterwards(folder.remove)
  const options = { cwd: folder.path }
  const gateway = startTrivium(['run', '--log-format', 'json'], options)
  afterwards(() => gateway.stop('SIGKILL'))
  await gateway.wrote(/devices is connected as source/)
  await gateway.wrote(/events is not available as sink/)
  const published = await trivium(['publish', 'devices', 'in/1', 'x'], options)
  expect(published).toMatchObject({ code: 0, stderr: '1 message confirmed by devices/in/1\n' })
  const health = await trivium(['health'], options)
  expect(health).toMatchObject({ code: 0, stdout: 'ready; away: events; 1 message in the store\n' })
  const { code, stderr } = await gateway.stop()
  expect(code).toBe(0)
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines[0]).toMatchObject({ level: 'warn', code: 'TRV4002', at: 'trivium.yaml:5' })
  expect(lines.map(({ message }) => message)).toContain('trivium 0.1.0 starts 1 route as trivium')
  expect(lines.at(-1)).toMatchObject({ message: 'stopped; waiting in the store: 1 message', waiting: 1 })
})
