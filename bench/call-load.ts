/**
 * Callers as one lean process: raw keep-alive connections and hand-made HTTP/1.1 requests, one in flight on each. Argument: JSON
 * of `CallLoad`; prints JSON of `CallFigures` when the last answer has come.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { messageOf } from './message.ts'

export interface CallLoad {
  readonly port: number
  readonly connections: number
  readonly calls: number
  /** Call n goes to `path/device-n`. */
  readonly path: string
  /** Calls a second, begun by the clock whatever the answers take; undefined: each as soon as the one before is answered. */
  readonly perSec?: number | undefined
}

export interface CallFigures {
  /** From the first call to the last answer, in seconds. */
  readonly wallSecs: number
  /** User and system time of this process meanwhile, in seconds. */
  readonly cpuSecs: number
  /** From the moment a call was due to its answer, in milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

const load = JSON.parse(process.argv[2] ?? '') as CallLoad
const latencies = new Float32Array(load.calls)
const finished = Promise.withResolvers<void>()
let begun = 0
let answered = 0

const idle = await Promise.all(Array.from({ length: load.connections }, (_, n) => connectCaller(n)))
const startedAt = performance.now()
const cpuBefore = process.cpuUsage()
if (load.perSec === undefined) for (const caller of [...idle]) caller()
else keepTime(load.perSec)
await finished.promise
console.log(JSON.stringify(figures()))
process.exit(0)

/** Begins the next call on a connection; gives it back to `idle`, or begins another, when it is answered. */
async function connectCaller(n: number): Promise<() => void> {
  const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.once('close', () => finished.reject(new Error(`connection ${n} was closed`)))
  const request = requestOf(n)
  let dueAt = 0
  const begin = () => {
    if (begun === load.calls) return
    dueAt = load.perSec === undefined ? performance.now() : startedAt + (begun / load.perSec) * 1_000
    begun += 1
    socket.write(request)
  }
  onAnswer(socket, (status) => {
    if (status >= 300) return finished.reject(new Error(`answered ${status}`))
    latencies[answered] = performance.now() - dueAt
    answered += 1
    if (answered === load.calls) finished.resolve()
    else if (load.perSec === undefined) begin()
    else idle.push(begin)
  })
  return begin
}

/** A call that finds all connections busy is late, and its latency counts from when it was due. */
function keepTime(perSec: number): void {
  const timer = setInterval(() => {
    const due = Math.min(load.calls, ((performance.now() - startedAt) / 1_000) * perSec)
    while (begun < due) {
      const begin = idle.shift()
      if (begin === undefined) return
      begin()
    }
    if (begun === load.calls) clearInterval(timer)
  }, 1)
}

function requestOf(n: number): Buffer {
  const { key, body } = messageOf(n)
  const head = [
    `POST ${load.path}/${key} HTTP/1.1`,
    `Host: 127.0.0.1:${load.port}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Of answers with `Content-Length`, or without a body. */
function onAnswer(socket: Socket, answer: (status: number) => void): void {
  let text = ''
  socket.setEncoding('latin1').on('data', (more: string) => {
    text += more
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd === -1) return
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd + 2))?.[1] ?? 0)
    if (text.length < headEnd + 4 + length) return
    const status = Number(text.slice(9, 12))
    text = ''
    answer(status)
  })
}

function figures(): CallFigures {
  const wallSecs = (performance.now() - startedAt) / 1_000
  const { user, system } = process.cpuUsage(cpuBefore)
  latencies.sort()
  const quantile = (share: number) => latencies[Math.floor((latencies.length - 1) * share)] ?? 0
  return { wallSecs, cpuSecs: (user + system) / 1e6, p50Ms: quantile(0.5), p99Ms: quantile(0.99), maxMs: quantile(1) }
}
