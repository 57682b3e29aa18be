/** An embedded broker on a free port, a source and a sink at it, and the devices of a test. */
import { once } from 'node:events'
import net from 'node:net'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { MqttBrokerConnection } from '../../../protocols/mqtt/broker/config.ts'
import { createBrokerSink, createBrokerSource } from '../../../protocols/mqtt/broker/index.ts'
import { type SharedBroker, sharedBrokerOf } from '../../../protocols/mqtt/broker/shared-broker.ts'
import type { Context, Delivery, Settlement } from '../../../src/adapter/contract.ts'
import { Authority, type Pair } from '../brokers/certificates.ts'
import { freePort } from '../ports.ts'
import { type RecordingContext, testContext } from './context.ts'
import { envelopeOf, never } from './messages.ts'
import { RunningSource } from './running-source.ts'

type Cleanup = () => unknown
const cleanups: Cleanup[] = []
/** To be called after each test: undoes all the fixture made, newest first. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
}

export function later(cleanup: Cleanup): void {
  cleanups.push(cleanup)
}

export type Settler = (delivery: Delivery) => Settlement | undefined

export interface Place {
  readonly connection: MqttBrokerConnection
  readonly context: RecordingContext
  readonly url: string
  readonly port: number
  readonly shared: SharedBroker
  /** Opens a source of these topics; a settlement of undefined leaves the message to the test. */
  source(topics: readonly string[], settle: Settler): Promise<RunningSource>
  sink(): Promise<ReturnType<typeof createBrokerSink>>
  device(options?: IClientOptions): Promise<MqttClient>
}

export async function place(
  settings: Partial<MqttBrokerConnection> = {},
  context = testContext('devices'),
): Promise<Place> {
  const port = await freePort()
  const connection = { ...MqttBrokerConnection.parse({ listen: `mqtt://127.0.0.1:${port}` }), ...settings }
  const shared = sharedBrokerOf(connection)
  const url = `mqtt://127.0.0.1:${port}`
  return {
    connection,
    context,
    url,
    port,
    shared,
    source: (topics, settle) => openSource(connection, context, topics, settle),
    sink: async () => {
      const sink = createBrokerSink(connection, context)
      cleanups.push(() => sink.close())
      await sink.open(never)
      return sink
    },
    device: (options) => device(url, options),
  }
}

async function openSource(
  connection: MqttBrokerConnection,
  context: Context,
  topics: readonly string[],
  settle: Settler,
): Promise<RunningSource> {
  const froms = topics.map((topic) => ({ topic }))
  const source = createBrokerSource(connection, froms, context)
  await source.open(never)
  cleanups.push(() => source.close())
  return new RunningSource(source, (batch) => {
    for (const delivery of batch) {
      const settlement = settle(delivery)
      if (settlement !== undefined) delivery.settle(settlement)
    }
  })
}

/** A connected 3.1.1 client that does not come back by itself. */
export async function device(url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(
    url,
    { protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 5_000, ...options },
    false,
  )
  client.on('error', () => {})
  cleanups.push(() => client.endAsync(true))
  return client
}

/** Messages a client receives, as `topic payload`. */
export function inbox(client: MqttClient): string[] {
  const messages: string[] = []
  client.on('message', (topic, payload) => messages.push(`${topic} ${payload.toString()}`))
  return messages
}

/** A bare socket and all it was sent. */
export interface RawDevice {
  readonly socket: net.Socket
  bytes(): Buffer
  send(...packets: readonly Uint8Array[]): void
  /** Resolves when that many bytes came. */
  receive(bytes: number): Promise<Buffer>
  closed(withinMs?: number): Promise<boolean>
}

export async function raw(port: number): Promise<RawDevice> {
  const socket = net.connect(port, '127.0.0.1')
  cleanups.push(() => socket.destroy())
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => {})
  await once(socket, 'connect')
  const bytes = () => Buffer.concat(chunks)
  return {
    socket,
    bytes,
    send: (...packets) => void socket.write(Buffer.concat(packets)),
    receive: (count) => until(socket, 'data', () => bytes().length >= count && bytes(), `${count} bytes`),
    closed: (withinMs) => until(socket, 'close', () => socket.closed, 'the end of the connection', withinMs),
  }
}

/** The first value of `check` that is not false, looked at after each event. */
function until<T>(
  socket: net.Socket,
  event: string,
  check: () => T | false,
  what: string,
  withinMs = 30_000,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const timer = setTimeout(() => reject(new Error(`not within ${withinMs} ms: ${what}`)), withinMs)
  const look = () => {
    const value = check()
    if (value !== false) resolve(value)
  }
  socket.on(event, look)
  look()
  promise.catch(() => {}) // who waits for one of several may look away
  return promise.finally(() => {
    clearTimeout(timer)
    socket.off(event, look)
  })
}

export interface ConnectFields {
  readonly clientId?: string
  readonly clean?: boolean
  readonly keepalive?: number
  readonly version?: number
  readonly will?: {
    readonly topic: string
    readonly payload?: string
    readonly qos?: number
    readonly retain?: boolean
  }
  readonly username?: string | Buffer
  readonly password?: string
}

export const packets = {
  connect(fields: ConnectFields = {}): Buffer {
    const { clientId = `raw-${Math.random()}`, clean = true, keepalive = 0, version = 4 } = fields
    const { will, username, password } = fields
    const willFlags = will === undefined ? 0 : 0x04 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0)
    const logins = (username === undefined ? 0 : 0x80) | (password === undefined ? 0 : 0x40)
    const properties = version === 5 ? Buffer.from([0]) : Buffer.alloc(0)
    const head = Buffer.from([version, (clean ? 2 : 0) | willFlags | logins, keepalive >> 8, keepalive & 255])
    const willTexts = will === undefined ? [] : [text(will.topic), text(will.payload ?? '')]
    const loginTexts = [username, password].filter((each) => each !== undefined).map(text)
    return frame(0x10, text('MQTT'), head, properties, text(clientId), ...willTexts, ...loginTexts)
  },
  publish(topic: string | Buffer, payload: string | Buffer, qos: 0 | 1 | 2 = 0, id = 1, flags = 0): Buffer {
    const packetId = qos === 0 ? Buffer.alloc(0) : uint16(id)
    return frame(0x30 | (qos << 1) | flags, text(topic), packetId, Buffer.from(payload))
  },
  pubrel: (id: number): Buffer => frame(0x62, uint16(id)),
  subscribe: (filter: string, qos = 0, id = 1): Buffer => frame(0x82, uint16(id), text(filter), Buffer.from([qos])),
  subscribeAll: (filters: readonly string[], qos = 0, id = 1): Buffer =>
    frame(0x82, uint16(id), Buffer.concat(filters.flatMap((filter) => [text(filter), Buffer.from([qos])]))),
  unsubscribeAll: (filters: readonly string[], id = 1): Buffer =>
    frame(0xa2, uint16(id), Buffer.concat(filters.map(text))),
  puback: (id: number): Buffer => frame(0x40, uint16(id)),
  ping: Buffer.from([0xc0, 0]),
  disconnect: Buffer.from([0xe0, 0]),
}

function frame(first: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const length: number[] = []
  for (let left = body.length; ; ) {
    const byte = left % 128
    left = Math.floor(left / 128)
    length.push(left > 0 ? byte | 128 : byte)
    if (left === 0) break
  }
  return Buffer.concat([Buffer.from([first, ...length]), body])
}

function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([uint16(bytes.length), bytes])
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255])
}

/** An envelope to send. */
export const message = (payload: string) => envelopeOf({ payload })

/** Files of a self-signed certificate for localhost and 127.0.0.1. */
export function certificate(): Pair {
  const authority = new Authority()
  cleanups.push(() => authority.end())
  return authority.selfSigned()
}
