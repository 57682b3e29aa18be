/**
 * `npm run proof:order`: the real gateway under strace, its embedded broker flooded with 10,000 QoS 1 messages. Each PUBACK
 * must leave after an fsync or fdatasync that began after the message was written to the store's files, and has returned.
 * Prints how many did not; 0: none. Needs strace and a broker for the target.
 */
import { execFileSync } from 'node:child_process'
import { createReadStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { startBrokers } from '../brokers/start.ts'
import { eventually } from '../poll.ts'
import { freePort } from '../ports.ts'
import { OrderProof } from './order-proof.ts'
import { Rig } from './rig.ts'

const messages = 10_000

execFileSync('strace', ['--version'], { stdio: 'ignore' })
const brokers = await startBrokers()
Object.assign(process.env, brokers.env)
const folder = mkdtempSync(join(tmpdir(), 'trivium-strace-'))
const trace = join(folder, 'trace')
const calls = 'trace=fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64,pwritev,read,recvfrom,recvmsg,readv'
const under = ['strace', '-D', '-f', '-ttt', '-xx', '-s', '1048576', '-e', calls, '-e', 'signal=none', '-o', trace]
const feed = { address: `mqtt://127.0.0.1:${await freePort()}`, keys: 20, window: 16 }
const rig = await Rig.build([{ from: 'embedded', to: ['kafka'], feed, perSecond: 1_000 }], { under })
let isProven = false
try {
  await rig.gateway.start()
  rig.run()
  const { log } = rig.roads[0]!
  await eventually(() => log.acked >= messages, { withinMs: 300_000, what: `${messages} acknowledgements` })
  await rig.drain(120_000)
  await rig.gateway.stop(60_000)
  const proof = new OrderProof()
  for await (const line of createInterface({ input: createReadStream(trace) })) proof.read(line)
  const { acked, violations, unknown, syncs } = proof
  console.log(
    `${acked} acknowledgements, ${syncs} syncs: ${violations.length} left before theirs, ${unknown} of no known message`,
  )
  for (const violation of violations.slice(0, 10)) console.log(violation)
  isProven = violations.length === 0 && unknown === 0 && acked >= messages
} finally {
  await rig.close()
  await brokers.stop()
  rmSync(folder, { recursive: true })
}
process.exit(isProven ? 0 : 1)
