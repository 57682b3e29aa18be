/**
 * Time that a process was ready to run and the machine ran others is not its own: where the system tells it
 * (`/proc/PID/schedstat`), it is taken off an answer's.
 *
 * A process of its own that asks the gateway again and again, so that what a test does meanwhile slows no answer down: a
 * healthy device publishes by QoS 1, and somebody asks `/livez`. When its input ends it prints how long the answers took.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectPacket, framed } from '../fuzz/mqtt-packets.ts'

const pauseMs = 10

/** Times of answers in milliseconds. */
export interface Answers {
  readonly count: number
  readonly p99Ms: number
  readonly maxMs: number
}
export interface Probed {
  readonly puback: Answers
  readonly livez: Answers
}

/** Milliseconds that the gateway, and this process, have waited for a processor. */
let waitedMs = (): readonly number[] => []

function waitedOf(pid: number): () => readonly number[] {
  const files = [`/proc/${pid}/schedstat`, '/proc/self/schedstat']
  const milliseconds = (file: string) => Number(readFileSync(file, 'latin1').split(' ')[1]) / 1e6
  return () => {
    try {
      return files.map(milliseconds)
    } catch {
      return [] // gone, or no Linux
    }
  }
}

/** What has passed since, less the longer of the two waits meanwhile, for they may have been at the same time. */
function stopwatch(): () => number {
  const startedMs = performance.now()
  const before = waitedMs()
  return () => {
    const waits = waitedMs().map((now, index) => now - (before[index] ?? now))
    return Math.max(0, performance.now() - startedMs - Math.max(0, ...waits))
  }
}

async function probe(port: number, admin: string, topic: string): Promise<Probed> {
  let isOver = false
  void once(process.stdin.resume(), 'end').then(() => {
    isOver = true
  })
  const isDone = () => isOver
  process.stdout.write('\n') // ready
  const [puback, livez] = await Promise.all([askBroker(port, topic, isDone), askAdmin(admin, isDone)])
  return { puback: answersOf(puback), livez: answersOf(livez) }
}

async function askBroker(port: number, topic: string, isOver: () => boolean): Promise<number[]> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.write(connectPacket('healthy'))
  await once(socket, 'data')
  const name = Buffer.from(topic)
  const head = Buffer.of(name.length >> 8, name.length & 255)
  const publish = framed(0x32, Buffer.concat([head, name, Buffer.of(0, 1), Buffer.from('{"healthy":true}')]))
  return await repeated(isOver, async () => {
    socket.write(publish)
    await once(socket, 'data')
  })
}

async function askAdmin(admin: string, isOver: () => boolean): Promise<number[]> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  return await repeated(isOver, async () => {
    const request = http.get(`${admin}/livez`, { agent })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    response.resume()
    await once(response, 'end')
  })
}

/** What is not answered when all is over counts with the time it has waited. */
async function repeated(isOver: () => boolean, ask: () => Promise<void>): Promise<number[]> {
  const times: number[] = []
  while (!isOver()) {
    const elapsedMs = stopwatch()
    const answer = ask()
    while (!(await Promise.race([answer.then(() => true), sleep(50).then(isOver)])));
    times.push(elapsedMs())
    await sleep(pauseMs)
  }
  return times
}

function answersOf(times: number[]): Answers {
  const sorted = times.sort((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.ceil(sorted.length * share) - 1] ?? Number.POSITIVE_INFINITY)
  return { count: sorted.length, p99Ms: at(0.99), maxMs: at(1) }
}

if (process.argv[1] === import.meta.filename) {
  const [port, admin, topic, pid] = process.argv.slice(2) as [string, string, string, string]
  waitedMs = waitedOf(Number(pid))
  process.stdout.write(JSON.stringify(await probe(Number(port), admin, topic)), () => process.exit())
}
