/** Connections to a broker that mean no good, and one that is as good as they come. */
import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { connectAsync, type MqttClient } from 'mqtt'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { eventually } from '../poll.ts'
import { connectPacket, framed } from './mqtt-packets.ts'

const ping = framed(0xc0, Buffer.alloc(0))
const pong = Buffer.of(0xd0, 0)
const connackBytes = 4
/** Where part of a packet is missing nobody answers: a few in a thousand. All others are waited for, on a slow machine too. */
const patienceMs = 15_000

/** `answered`: it was still understood at the end. `closed`: by the broker. `silent`: neither, in the time given. */
export type Ending = 'answered' | 'closed' | 'silent'

/** Sends a CONNECT of any kind, waits for its answer, sends all of `packets` and a ping. */
export async function speak(port: number, opening: Buffer, packets: readonly Buffer[]): Promise<Ending> {
  const { socket, next, received } = await open(port)
  socket.write(opening)
  await next(() => received().length >= connackBytes, patienceMs)
  socket.write(Buffer.concat([...packets, ping]))
  const isAnswered = await next(() => received().includes(pong), patienceMs)
  const ending = isAnswered ? 'answered' : socket.closed ? 'closed' : 'silent'
  socket.destroy()
  return ending
}

/** What a hostile connection sends: at once, and then byte by byte. */
export interface Attack {
  readonly name: string
  readonly bytes: Buffer
  readonly trickle?: Buffer | undefined
}

const clientHello = Buffer.from('16030100c8010000c40303', 'hex')
const huge = Buffer.from('30ffffff7f', 'hex')
const greeting = (n: number, keepalive = 0) => connectPacket(`hostile-${n}`, { keepalive })

/** Number `n` of them. */
export function attackOf(n: number): Attack {
  const attacks: readonly Attack[] = [
    { name: 'says nothing', bytes: Buffer.alloc(0) },
    {
      name: 'announces 256 MB and sends on, byte by byte',
      bytes: Buffer.from('10ffffff7f', 'hex'),
      trickle: Buffer.alloc(100),
    },
    { name: 'connects byte by byte', bytes: greeting(n).subarray(0, 1), trickle: greeting(n).subarray(1, 20) },
    { name: 'half a CONNECT', bytes: greeting(n).subarray(0, 15) },
    { name: 'announces 256 MB after CONNECT', bytes: Buffer.concat([greeting(n), huge]), trickle: Buffer.alloc(100) },
    {
      name: 'half a PUBLISH after CONNECT',
      bytes: Buffer.concat([greeting(n, 1), framed(0x30, Buffer.alloc(1_000)).subarray(0, 500)]),
    },
    { name: 'garbage', bytes: createHash('shake256', { outputLength: 2_000 }).update(String(n)).digest() },
    { name: 'a TLS hello', bytes: Buffer.concat([clientHello, Buffer.alloc(200, n & 0xff)]) },
    { name: 'HTTP', bytes: Buffer.from(`GET /${n} HTTP/1.1\r\nHost: localhost\r\n\r\n`) },
    { name: 'packets before CONNECT', bytes: Buffer.concat([ping, ping, greeting(n)]) },
  ]
  return attacks[n % attacks.length] as Attack
}

/** Attacks until the broker ends the connection; rejects when it does not. */
export async function attack(port: number, { name, bytes, trickle }: Attack, withinMs: number): Promise<void> {
  const { socket, next } = await open(port)
  socket.write(bytes)
  let sent = 0
  const timer = setInterval(() => {
    if (trickle !== undefined && sent < trickle.length) socket.write(trickle.subarray(sent, sent + 1))
    sent += 1
  }, 200)
  try {
    if (!(await next(() => socket.closed, withinMs))) throw new Error(`still connected: ${name}`)
  } finally {
    clearInterval(timer)
    socket.destroy()
  }
}

async function open(port: number) {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const chunks: Buffer[] = []
  let look = () => {}
  socket.on('error', () => {})
  socket.on('connect', () => look())
  socket.on('close', () => look())
  socket.on('data', (chunk) => {
    chunks.push(chunk)
    look()
  })
  const received = () => Buffer.concat(chunks)
  /** True as soon as `check` is, false when the connection or the time is over before. */
  const next = (check: () => boolean, withinMs: number): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => resolve(false), withinMs)
    look = () => {
      if (check()) resolve(true)
      else if (socket.closed) resolve(false)
    }
    look()
    return promise.finally(() => clearTimeout(timer))
  }
  await next(() => !socket.connecting, 30_000)
  return { socket, next, received }
}

/** Publishes by QoS 1 without a pause, a few at a time, and reads what its route makes of it. */
export class HealthyClient {
  readonly #publisher: MqttClient
  readonly #subscriber: MqttClient
  readonly #topic: string
  readonly #sent = new Map<string, Buffer>()
  readonly #arrived = new Map<string, number>()
  #isStopped = false
  #workers: Promise<void>[] = []
  acknowledged = 0
  /** Longest wait for a PUBACK, in milliseconds. */
  longestMs = 0
  readonly defects: string[] = []

  static async connect(url: string, topics: { publish: string; subscribe: string }): Promise<HealthyClient> {
    const options = { protocolVersion: 4, reconnectPeriod: 0, keepalive: 60 } as const
    const publisher = await connectAsync(url, { ...options, clientId: 'healthy-publisher' }, false)
    const subscriber = await connectAsync(url, { ...options, clientId: 'healthy-subscriber', clean: false }, false)
    const client = new HealthyClient(publisher, subscriber, topics.publish)
    await subscriber.subscribeAsync(topics.subscribe, { qos: 1 })
    return client
  }

  private constructor(publisher: MqttClient, subscriber: MqttClient, topic: string) {
    this.#publisher = publisher
    this.#subscriber = subscriber
    this.#topic = topic
    for (const [name, client] of Object.entries({ publisher, subscriber })) {
      client.on('close', () => this.#isStopped || this.defects.push(`the ${name} was disconnected`))
      client.on('error', (error) => this.defects.push(`${name}: ${error.message}`))
    }
    subscriber.on('message', (_topic, payload) => this.#onMessage(payload))
  }

  start(atOnce: number): void {
    this.#workers = Array.from({ length: atOnce }, (_, worker) => this.#work(worker))
  }

  /** Resolves when all that was acknowledged has arrived. */
  async finish(withinMs: number): Promise<void> {
    this.#isStopped = true
    await withDeadline(Promise.all(this.#workers), withinMs, 'the last PUBACK of the healthy client')
    await eventually(() => this.#arrived.size >= this.#sent.size, {
      withinMs,
      what: 'all messages of the healthy client',
    })
    await Promise.all([this.#publisher.endAsync(true), this.#subscriber.endAsync(true)])
    const repeated = [...this.#arrived.values()].filter((count) => count > 1).length
    if (repeated > 0) this.defects.push(`${repeated} messages came more than once`)
  }

  async #work(worker: number): Promise<void> {
    for (let n = 0; !this.#isStopped; n += 1) {
      const id = `${worker}/${n}`
      const payload = Buffer.concat([Buffer.from(`${id} `), createHash('sha256').update(id).digest()])
      this.#sent.set(id, payload)
      const startedAt = performance.now()
      await this.#publisher.publishAsync(this.#topic, payload, { qos: 1 })
      this.longestMs = Math.max(this.longestMs, performance.now() - startedAt)
      this.acknowledged += 1
    }
  }

  #onMessage(payload: Buffer): void {
    const id = payload.toString('latin1', 0, payload.indexOf(0x20))
    if (this.#sent.get(id)?.equals(payload)) this.#arrived.set(id, (this.#arrived.get(id) ?? 0) + 1)
    else this.defects.push(`never sent: ${payload.toString('hex').slice(0, 100)}`)
  }
}
