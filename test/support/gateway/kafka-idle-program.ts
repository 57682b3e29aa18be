/**
 * `node kafka-idle-program.ts <topic> <group> <watched ms> <part that is little enough>`: a sink and a source of Kafka that have nothing to do, in a
 * process of their own, as what other tests leave in theirs would count. Prints one line of JSON, an `IdleReport`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { kafka } from '../../../protocols/kafka/index.ts'
import type { Log } from '../../../src/adapter/contract.ts'
import { Envelope } from '../../../src/envelope/envelope.ts'
import { brokerAddresses } from '../brokers/addresses.ts'
import { testContext } from '../contexts/context.ts'

export interface IdleReport {
  /** Processor time of the whole process by time of the clock, 0 to 1: in the quietest of up to five times, the first that is little enough. */
  readonly partOfCore: number
  /** Names of the warnings of the process. */
  readonly warnings: readonly string[]
  /** What the adapter had to say above `debug`. */
  readonly said: readonly string[]
}

const [topic, group, watchedMs, enough] = process.argv.slice(2) as [string, string, string, string]
const warnings: string[] = []
process.on('warning', ({ name }) => warnings.push(name))
const said: string[] = []
const say = (message: string) => void said.push(message)
const log: Log = { debug() {}, info: say, warn: say, error: say }
const connection = kafka.connection.parse({ brokers: brokerAddresses().kafka })
const signal = () => AbortSignal.timeout(30_000)

const sink = kafka.sink!.create(connection, testContext('events', { log }))
await sink.open(signal())
const from = kafka.source!.schema.parse({ topic, group })
const source = kafka.source!.create(connection, [from], testContext('events', { log }))
await source.open(signal())
const stopping = new AbortController()
const { promise: arrival, resolve: arrived } = Promise.withResolvers<void>()
const ended = source.consume((batch) => {
  for (const delivery of batch) delivery.settle('accept')
  arrived()
}, stopping.signal)

const at = new Date().toISOString()
const envelope = new Envelope({
  messageId: 'the-only-one',
  timestamp: at,
  source: 'test://idle',
  payload: Buffer.of(1),
})
await sink.send([{ envelope, target: { topic }, format: undefined }], signal())
await arrival
await sleep(2000) // the commit and the compiler come to rest

/** The only thing under test is that nothing happens. */
async function watch(): Promise<number> {
  const before = process.cpuUsage()
  const since = performance.now()
  await sleep(Number(watchedMs))
  const used = process.cpuUsage(before)
  return (used.user + used.system) / 1000 / (performance.now() - since)
}
let partOfCore = await watch()
// what others do to the processor's caches and clock counts too: the quietest time tells what it costs itself
for (let more = 0; more < 4 && partOfCore >= Number(enough); more += 1) partOfCore = Math.min(partOfCore, await watch())

stopping.abort()
await ended
await source.close()
await sink.close()
process.stdout.write(`${JSON.stringify({ partOfCore, warnings, said } satisfies IdleReport)}\n`)
