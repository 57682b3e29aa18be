/** A target that keeps up: the store is written and never read back. */

import { expect, test } from '@jest/globals'
import { inProcess } from '../support/gateway/road.ts'
import { arrived, checkNothingLost, inScope, texts } from '../support/gateway/scenario.ts'
import { inletOf, patientMs, road, type SourceName } from '../support/gateway/stored.ts'
import type { BrokerName } from '../support/places/connections.ts'
import { placeAt } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

test.each([
  ['embedded', 'kafka'],
  ['mqtt', 'amqp'],
  ['amqp', 'mqtt'],
  ['kafka', 'kafka'],
] satisfies [SourceName, BrokerName][])(
  'from %s to %s: 5,000 stored messages are delivered, and none is read back',
  (from, to) =>
    inScope(async (scope) => {
      const [source, target] = [await inletOf(scope, from), await placeAt(to)]
      const gateway = await scope.gateway(inProcess(road(source, target))).ready()
      const sent: string[] = []
      for (let round = 1; round <= 25; round += 1) {
        const some = texts(200)
        await source.send(some)
        sent.push(...some)
        await eventually(() => gateway.route('road').delivered === sent.length, {
          withinMs: patientMs,
          what: `round ${round}`,
        })
      }
      expect(gateway.gateway.status().store.reads).toBe(0)
      expect(gateway.route('road')).toMatchObject({
        matched: 5_000,
        delivered: 5_000,
        waiting: 0,
        deadLetteredTotal: 0,
      })
      const reader = await scope.use(target.reader())
      await arrived(reader, sent, patientMs)
      checkNothingLost(reader.got, sent)
      expect(reader.got).toHaveLength(5_000)
    }),
  120_000,
)
