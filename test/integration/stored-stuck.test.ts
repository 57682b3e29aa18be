/** One destination of a target is missing while the target itself is up: what goes elsewhere goes on. */

import { expect, test } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import type { TestGateway } from '../support/gateway/gateway.ts'
import { inProcess } from '../support/gateway/road.ts'
import { checkNothingLost, inScope, type Scope } from '../support/gateway/scenario.ts'
import { inletOf, patientMs } from '../support/gateway/stored.ts'
import { unique } from '../support/names.ts'
import { createTopics } from '../support/places/topics.ts'
import { eventually } from '../support/poll.ts'

const sites = ['here', 'gone'] as const
type Site = (typeof sites)[number]

/** So many messages of each site, of a thousand devices in turn. */
function messagesOf(count: number, from = 0): string[] {
  const text = (site: Site, n: number) => JSON.stringify({ key: `${site}-${n % 1_000}`, n: from + n, site })
  return Array.from({ length: count }, (_, n) => sites.map((site) => text(site, n))).flat()
}
const ofSite = (texts: readonly string[], site: Site) => texts.filter((text) => JSON.parse(text).site === site)

/** Topics by site; each is made when it is asked for. */
async function topicsBySite(scope: Scope) {
  const kafka = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  const root = unique('t')
  const nameOf = (site: Site) => `${root}.${site}`
  const made: string[] = []
  scope.after(async () => {
    await admin.deleteTopics({ topics: made })
    await admin.disconnect()
  })
  const make = async (site: Site) => {
    await createTopics(admin, [{ topic: nameOf(site), numPartitions: 3 }])
    made.push(nameOf(site))
  }
  const read = async (site: Site) => {
    const consumer = kafka.consumer({ groupId: unique('t'), maxWaitTimeInMs: 50 })
    scope.after(() => consumer.disconnect())
    const got: { text: string; key: string }[] = []
    await consumer.connect()
    await consumer.subscribe({ topic: nameOf(site), fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ message }) => void got.push({ text: String(message.value), key: String(message.key) }),
    })
    return got
  }
  return { root, make, read }
}

const deliveredBy = (gateway: TestGateway, count: number) =>
  eventually(() => gateway.route('road').delivered === count, { withinMs: patientMs, what: `${count} delivered` })

test(
  'a topic that is missing holds no other up, also after a restart; once it is there, all arrive in order',
  () =>
    inScope(async (scope) => {
      const { root, make, read } = await topicsBySite(scope)
      await make('here')
      const source = await inletOf(scope, 'embedded')
      const yaml = inProcess(`
connections:
  source: ${source.connection}
  target: { protocol: kafka, brokers: [${brokerAddresses().kafka.join(', ')}] }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    to: [{ connection: target, topic: "${root}.{payload.site}", key: "{payload.key}" }]
    retry: { delay: 100ms, maxDelay: 1s }
`)
      const first = await scope.gateway(yaml).ready()
      const before = messagesOf(2_500)
      await source.send(before)
      await deliveredBy(first, 2_500)
      expect(first.route('road')).toMatchObject({ waiting: 2_500, deadLetteredTotal: 0 })
      const [blocked] = [...first.route('road').targets[0]!.blocked]
      expect(blocked).toEqual([expect.stringContaining(`${root}.gone`), expect.objectContaining({ code: 'NOT_FOUND' })])
      await first.pause()

      const second = await scope.gateway(yaml, first.dataDir).ready()
      const after = messagesOf(2_500, 2_500)
      await source.send(after)
      await deliveredBy(second, 2_500)
      expect(second.route('road')).toMatchObject({ waiting: 5_000, deadLetteredTotal: 0 })

      await make('gone')
      await deliveredBy(second, 7_500)
      expect(second.route('road').targets[0]!.blocked.size).toBe(0)
      for (const site of sites) {
        const sent = ofSite([...before, ...after], site)
        const got = await read(site)
        await eventually(() => new Set(got.map(({ text }) => text)).size === sent.length, {
          withinMs: patientMs,
          what: `all of ${site}`,
        })
        checkNothingLost(got, sent)
      }
    }),
  120_000,
)
