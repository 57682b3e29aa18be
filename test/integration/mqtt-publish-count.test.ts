import { afterEach, expect, it } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench, listen } from '../support/contexts/mqtt-client.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'
import { trivium } from '../unit/cli/command.ts'
import { folderWith } from '../unit/cli/files.ts'

const bench = new Bench()
afterEach(() => bench.end())

it('trivium publish --count sends each message once, though the sink takes larger batches as it goes on', async () => {
  const topic = unique('count')
  const { packets } = await listen(await bench.client(), topic)
  const folder = folderWith({
    'trivium.yaml': `
connections:
  plant: { protocol: mqtt, url: "${brokerAddresses().mqtt}" }
  inside: { protocol: memory }
routes:
  - { name: unused, from: { connection: inside, topic: nothing }, to: [{ connection: plant, topic: nothing }] }
`,
  })
  bench.later(async () => folder.remove())
  const ended = await trivium(['publish', 'plant', topic, 'x', '--count', '1000'], { cwd: folder.path })
  expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('1000 message') })
  await (await bench.client()).publishAsync(topic, 'last', { qos: 1 })
  await eventually(() => `${packets.at(-1)?.payload}` === 'last', { what: 'the last' })
  expect(packets).toHaveLength(1_001)
})
