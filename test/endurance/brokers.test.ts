/** Each broker ends in its own way and comes back, again and again, under load both ways. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from '@jest/globals'
import { startKafka } from '../support/brokers/kafka.ts'
import { startMosquitto } from '../support/brokers/mosquitto.ts'
import { startRabbitmq } from '../support/brokers/rabbitmq.ts'
import type { LoadSinkName } from '../support/fault/load-sinks.ts'
import type { RoadVerdict } from '../support/fault/rig.ts'
import { shakyRig, verdictText } from '../support/fault/shaky.ts'

const restarts = 2
/** Between two restarts, in milliseconds. */
const calmMs = 2_000
/** The gateway may wait 30 s between two attempts, and a Kafka group 15 s for a member that is gone. */
const patientMs = 150_000
const start = { kafka: startKafka, amqp: startRabbitmq, mqtt: startMosquitto }

const verdicts: RoadVerdict[] = []
afterAll(() => {
  process.stdout.write(verdictText(`${restarts} restarts of each broker`, verdicts))
})

async function restarted(protocol: LoadSinkName): Promise<void> {
  const broker = await start[protocol]()
  const rig = await shakyRig({ protocol, address: broker.address })
  try {
    await rig.gateway.start()
    rig.run()
    for (let at = 0; at < restarts; at += 1) {
      await sleep(calmMs)
      await broker.restart()
      await rig.gateway.ready(patientMs)
    }
    await sleep(calmMs)
    await rig.drain(patientMs)
    expect(await rig.deadLetters()).toEqual([])
    expect(await rig.gateway.stop()).toEqual({ code: 0, signal: null })
    const found = rig.verdicts(2 * restarts) // by source and target
    verdicts.push(...found)
    for (const verdict of found) expect(verdict).toMatchObject({ defects: [], examples: [] })
  } finally {
    await rig.close()
    await broker.stop()
  }
}

test.concurrent.each<[LoadSinkName]>([['kafka'], ['amqp'], ['mqtt']])(
  '%s restarts under load: nothing is lost, changed or out of order',
  restarted,
  900_000,
)
