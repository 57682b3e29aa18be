/** What nobody can read in a Kafka topic becomes a dead letter; reading goes on. */

import { expect } from '@jest/globals'
import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { arrived, scenario } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { amqpPlace, committed, kafkaPlace } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'

scenario(
  'a compressed batch above 128 MiB is one dead letter with its offsets, and those beside it arrive',
  async (scope) => {
    const [source, target] = [await kafkaPlace(), await amqpPlace()]
    const producer = new Kafka({ brokers: brokerAddresses().kafka, logLevel: logLevel.NOTHING }).producer()
    await producer.connect()
    scope.after(() => producer.disconnect())
    const send = (...values: (string | Buffer)[]) =>
      producer.send({
        topic: source.name,
        compression: CompressionTypes.GZIP,
        messages: values.map((value) => ({ value, partition: 0 })),
      })
    await send('before')
    await send('beside', Buffer.alloc(129 * 1024 * 1024))
    await send('behind')
    const gateway = scope.gateway(`
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections: { source: ${source.connection}, target: ${target.connection} }
routes: [{ name: road, from: { connection: source, ${source.from} }, to: [{ connection: target, ${target.to} }] }]
`)
    const reader = await scope.use(target.reader())
    await arrived(reader, ['before', 'behind'])
    const [letter] = await eventually(() => (gateway.letters().length > 0 ? gateway.letters() : undefined), {
      what: 'the dead letter',
    })
    expect(letter?.envelope.messageId).toBe(`${source.name}/0/1-2`)
    expect(letter?.envelope.malformed?.message).toMatch(/\/0\/1-2 cannot be read: it unfolds to more than 128 MiB/)
    expect(reader.got.map(({ text }) => text)).toEqual(['before', 'behind'])
    expect(gateway.link('source', 'source').reconnects).toBe(0)
    await eventually(async () => (await committed(source)) === 4, { what: 'the position behind all of them' })
  },
)
