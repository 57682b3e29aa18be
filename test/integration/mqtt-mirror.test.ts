/** A tree of topics mirrored under another prefix, with what the broker keeps. */
import { afterEach, describe, expect, it } from '@jest/globals'
import mqttJs, { type IPublishPacket } from 'mqtt'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Bench, listen } from '../support/contexts/mqtt-client.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { unique } from '../support/names.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const bench = new Bench()
afterEach(() => bench.end())

interface Place {
  readonly url: string
  readonly settings: Record<string, unknown>
}

async function placeOf(kind: string): Promise<Place> {
  const url = kind === 'embedded' ? `mqtt://127.0.0.1:${await freePort()}` : brokerAddresses().mqtt
  if (kind === 'embedded') return { url, settings: { listen: url } }
  return { url, settings: { url, protocolVersion: kind === 'MQTT 5' ? 5 : 4 } }
}

describe.each(['MQTT 5', 'MQTT 3.1.1', 'embedded'])('a mirror, %s', (kind) => {
  const clientOf = async (url: string) => {
    const client = await mqttJs.connectAsync(url, { protocolVersion: 4 })
    bench.later(() => client.endAsync(true))
    return client
  }

  it('keeps levels and, with `retain: source`, the flag, which rules see', async () => {
    const base = unique('mirror')
    const { url, settings } = await placeOf(kind)
    const out = await placeOf('MQTT 5')
    const earlier = kind === 'embedded' ? undefined : await clientOf(url)
    await earlier?.publishAsync(`${base}/in/a/b/full`, 'kept', { qos: 1, retain: true })
    const from = { connection: 'in', topic: `${base}/in/{rest#}` }
    const yaml = JSON.stringify({
      gateway: { id: unique('mirror').replaceAll('/', '-'), dataDir: '${env:TRIVIUM_DATA_DIR}' },
      connections: { in: { protocol: 'mqtt', ...settings }, out: { protocol: 'mqtt', ...out.settings } },
      routes: [
        { name: 'all', from, to: [{ connection: 'out', topic: `${base}/out/{params.rest}`, retain: 'source' }] },
        { name: 'new', from, when: 'NOT headers.retain', to: [{ connection: 'out', topic: `${base}/new` }] },
      ],
    })
    const watcher = await bench.client()
    const { packets } = await listen(watcher, `${base}/new`)
    const gateway = await new TestGateway(yaml).ready()
    bench.later(() => gateway.stop())
    const client = await clientOf(url)
    if (earlier === undefined) await client.publishAsync(`${base}/in/a/b/full`, 'kept', { qos: 1, retain: true })
    await client.publishAsync(`${base}/in/a/c`, 'passing', { qos: 1 })
    await eventually(() => gateway.route('all').delivered === 2 && packets.length > 0, { what: 'both' })
    expect(packets.map(({ payload }) => `${payload}`)).toEqual(['passing'])
    const later: IPublishPacket[] = (await listen(await bench.client(), `${base}/out/#`)).packets
    await watcher.publishAsync(`${base}/out/fence`, '', { qos: 1 })
    await eventually(() => later.some(({ topic }) => topic.endsWith('fence')), { what: 'the fence' })
    expect(later.map(({ topic, payload, retain }) => [topic.slice(base.length), `${payload}`, retain])).toEqual([
      ['/out/a/b/full', 'kept', true],
      ['/out/fence', '', false],
    ])
    await watcher.publishAsync(`${base}/out/a/b/full`, '', { retain: true, qos: 1 })
    if (kind !== 'embedded') await client.publishAsync(`${base}/in/a/b/full`, '', { retain: true, qos: 1 })
  })
})
