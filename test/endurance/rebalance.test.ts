/** Two gateways share one Kafka group; they join, leave and die under load. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { Kafka, logLevel } from 'kafkajs'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { GatewayProcess } from '../support/fault/gateway-process.ts'
import { Rig } from '../support/fault/rig.ts'
import { verdictText } from '../support/fault/shaky.ts'
import { eventually } from '../support/poll.ts'

/** Under load, in milliseconds. */
const calmMs = 1_500
/** A member that died is waited for until its session ends, after 15 s. */
const settlesWithinMs = 90_000

test('two gateways of one group join, leave and die: nothing is lost or out of order', async () => {
  const rig = await Rig.build([{ from: 'kafka', to: ['amqp'], feed: { keys: 24 }, perSecond: 500 }])
  const first = rig.gateway
  const second = await GatewayProcess.create(rig.yaml)
  const admin = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING }).admin()
  const group = rig.roads[0]!.feed.name
  /** The group has that many members, none of them about to join or leave. */
  const isShared = async (members: number) => {
    const isStable = async () => {
      const { groups } = await admin.describeGroups([group])
      return groups[0]?.state === 'Stable' && groups[0].members.length === members
    }
    await eventually(isStable, { withinMs: settlesWithinMs, what: `a group of ${members}` })
    await sleep(calmMs)
  }
  try {
    await admin.connect()
    await first.start()
    rig.run()
    await isShared(1)
    await second.start() // joins
    await isShared(2)
    expect(await first.stop()).toEqual({ code: 0, signal: null }) // leaves
    await isShared(1)
    await first.start()
    await isShared(2)
    await second.kill() // dies
    await isShared(1)
    await second.start()
    await isShared(2)
    await first.kill()
    await first.start() // is back before the group has noticed
    await isShared(2)
    await rig.drain(150_000)
    for (const gateway of [first, second]) expect(await gateway.stop()).toEqual({ code: 0, signal: null })
    const verdicts = rig.verdicts(7)
    process.stdout.write(verdictText('rebalance: 3 joins, 1 leave, 2 deaths', verdicts))
    for (const verdict of verdicts) expect(verdict).toMatchObject({ defects: [], examples: [] })
  } finally {
    await admin.disconnect()
    await second.remove()
    await rig.close()
  }
}, 900_000)
