/**
 * One connection to a broker, one generation. mqtt.js connects, parses and subscribes; acknowledgements, publishes,
 * pings and the judgement whether the peer lives are ours.
 *
 * The hook: mqtt.js emits `packetreceive` before it looks at the packet's `cmd`, and passes over a `cmd` it does not
 * know. A packet the owner takes is renamed, so that mqtt.js neither acknowledges it nor waits for anything.
 * Should an upgrade move that, `handleMessage` and `customHandleAcks`, which mqtt.js calls before it acknowledges, end
 * the connection: a message is then late, not lost.
 */
import type { Duplex } from 'node:stream'
import type { IClientSubscribeOptions, IConnackPacket, MqttClient, Packet } from 'mqtt'
import { shownAddress } from '../../../src/adapter/address.ts'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { once } from '../../../src/adapter/once.ts'
import { type GatewayError, RetryableError } from '../../../src/errors.ts'
import { connectError, isVersionRefused, lossError, subscribeError, unsubscribeRefusal } from '../errors.ts'
import { clientOptions, type LinkOptions, type MqttVersion } from './client-options.ts'
import { Liveness } from './liveness.ts'
import { disconnectPacket, pingPacket } from './wire.ts'

/** Loaded by the first connection: many gateways have none. */
export const loadDriver = once(async () => {
  await import('./packet-ids.ts')
  return await import('mqtt')
})
const subscribeMs = 10_000
const closeMs = 2_000

/** What the broker allows a client to send, from its CONNACK. */
export interface PeerLimits {
  readonly receiveMaximum: number
  readonly maximumPacketSize: number
  readonly maximumQos: number
  readonly canRetain: boolean
  /** Whether subscriptions may have identifiers. */
  readonly canIdentify: boolean
}

/** Opens a connection in the version asked for, or in 5, then 4 where the broker refuses 5. */
export async function openLink(options: LinkOptions, signal: AbortSignal): Promise<Link> {
  const { protocolVersion } = options.settings
  try {
    return await connectAs(protocolVersion ?? 5, options, signal)
  } catch (error) {
    if (protocolVersion === undefined && isVersionRefused(error)) return await openAs4(options, signal)
    throw connectError(error, shownAddress(options.settings.url))
  }
}

async function openAs4(options: LinkOptions, signal: AbortSignal): Promise<Link> {
  try {
    return await connectAs(4, options, signal)
  } catch (error) {
    throw connectError(error, shownAddress(options.settings.url))
  }
}

async function connectAs(version: MqttVersion, options: LinkOptions, signal: AbortSignal): Promise<Link> {
  const { default: mqtt } = await loadDriver()
  signal.throwIfAborted()
  const client = mqtt.connect(clientOptions(version, options))
  const link = new Link(client, version, shownAddress(options.settings.url), options)
  try {
    await link.whenConnected(signal)
    return link
  } catch (error) {
    link.destroy()
    throw error
  }
}

export class Link {
  readonly version: MqttVersion
  readonly #client: MqttClient
  readonly #stream: Duplex
  readonly #maxPacketBytes: number
  readonly #url: string
  readonly #clientId: string
  readonly #ended = Promise.withResolvers<unknown>()
  readonly #lost = Promise.withResolvers<GatewayError>()
  #liveness: Liveness | undefined
  #connack: IConnackPacket | undefined
  #reason: unknown
  #isClosing = false
  #isPaused = false
  /** Packets. */
  #received = 0

  constructor(client: MqttClient, version: MqttVersion, url: string, { take, settings, clientId }: LinkOptions) {
    this.version = version
    this.#client = client
    this.#maxPacketBytes = settings.maxPacketSize ?? Number.POSITIVE_INFINITY
    this.#stream = client.stream as Duplex
    this.#url = url
    this.#clientId = clientId
    client.on('packetreceive', (packet) => {
      this.#received += 1
      if (take(packet)) (packet as { cmd: string }).cmd = 'taken'
    })
    client.on('error', (error) => this.fail(error))
    client.on('disconnect', (packet) => this.fail(disconnected(packet.reasonCode)))
    client.on('close', () => this.#end())
    this.#stream.on('error', (error) => this.fail(error)) // mqtt.js swallows what has no code, e.g. of ws
    this.#stream.on('data', () => this.#liveness?.hear())
    this.#stream.on('resume', () => this.#isPaused && this.#stream.pause()) // a drained pipe resumes by itself
    this.#guardAcknowledgements()
  }

  /** True where the broker had kept the session. */
  get sessionPresent(): boolean {
    return this.#connack?.sessionPresent ?? false
  }

  /** How long the broker keeps the session, where it says other than it was asked. MQTT 5, 3.2.2.3.2 */
  get grantedExpiryMs(): number | undefined {
    const secs = this.#connack?.properties?.sessionExpiryInterval
    return secs === undefined ? undefined : secs * 1000
  }

  get isWritable(): boolean {
    return this.#reason === undefined && !this.#isClosing && !this.#stream.writableNeedDrain
  }

  get limits(): PeerLimits {
    const said = this.#connack?.properties
    return {
      receiveMaximum: said?.receiveMaximum ?? 65_535,
      maximumPacketSize: Math.min(said?.maximumPacketSize ?? Number.POSITIVE_INFINITY, this.#maxPacketBytes),
      maximumQos: said?.maximumQoS ?? 2,
      canRetain: said?.retainAvailable ?? true,
      canIdentify: said?.subscriptionIdentifiersAvailable ?? true,
    }
  }

  /** Resolves at CONNACK; rejects with what mqtt.js or the network said. */
  async whenConnected(signal: AbortSignal): Promise<void> {
    const connected = new Promise<void>((resolve) => {
      this.#client.once('connect', (connack) => {
        this.#connack = connack
        resolve()
      })
    })
    const abort = () => this.fail(new Error('given up'))
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    const ended = this.#ended.promise.then((reason) => Promise.reject(reason))
    ended.catch(() => {})
    try {
      await Promise.race([connected, ended])
    } finally {
      signal.removeEventListener('abort', abort)
    }
    this.#startLiveness()
  }

  /** Bytes of one or several whole packets. `onSent` is called when the system has taken them, or with the error. */
  write(bytes: Uint8Array, onSent?: (error?: Error | null) => void): void {
    if (this.#reason === undefined && !this.#isClosing) this.#stream.write(bytes, onSent)
  }

  /** Calls back when `isWritable` may have become true again. */
  onDrain(callback: () => void): void {
    this.#stream.on('drain', callback)
  }

  /** Stops and continues reading; pings go on. */
  pause(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#stream.pause()
    if (this.#liveness !== undefined) this.#liveness.isDeaf = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    if (this.#liveness !== undefined) this.#liveness.isDeaf = false
    this.#stream.resume()
  }

  /** Resolves with the granted QoS of each filter; rejects with ACCESS_DENIED naming the first that is refused. */
  async subscribe(filters: ReadonlyMap<string, 0 | 1 | 2>, identifier?: number): Promise<ReadonlyMap<string, number>> {
    const names = [...filters.keys()]
    // rh 1: retained messages only for a new subscription; rap: the flag as it was published
    const wanted = Object.fromEntries(names.map((name) => [name, { qos: filters.get(name) ?? 0, rh: 1, rap: true }]))
    const answered = new Promise<number[]>((resolve, reject) => {
      const properties = identifier === undefined ? {} : { properties: { subscriptionIdentifier: identifier } }
      this.#client.subscribe(wanted, properties as IClientSubscribeOptions, (error, _subscriptions, suback) => {
        if (suback?.granted.length === names.length) resolve(suback.granted.map(Number))
        else reject(lossError(error ?? new Error('SUBACK does not fit'), this.#url))
      })
    })
    const granted = await this.#answerWithin(answered, 'SUBACK')
    const refused = granted.findIndex((code) => code >= 128)
    if (refused >= 0) throw subscribeError(names[refused] ?? '', granted[refused] ?? 128)
    return new Map(names.map((name, i) => [name, granted[i] ?? 0]))
  }

  /** Resolves with what the broker says against each filter; undefined: it stands no more. MQTT 3.1.1 cannot refuse. */
  async unsubscribe(filters: readonly string[]): Promise<readonly (string | undefined)[]> {
    const answered = new Promise<readonly number[]>((resolve, reject) => {
      this.#client.unsubscribe([...filters], (error, packet) => {
        if (error) reject(lossError(error, this.#url))
        else resolve(unsubackCodes(packet))
      })
    })
    const codes = await this.#answerWithin(answered, 'UNSUBACK')
    return filters.map((_, i) => unsubscribeRefusal(codes[i] ?? 0))
  }

  /**
   * An answer comes behind all that the broker sends of a kept session, which may take long: its time begins anew as long as
   * packets come, or while we read none.
   */
  async #answerWithin<T>(answered: Promise<T>, what: string): Promise<T> {
    for (;;) {
      const before = this.#received
      try {
        return await withDeadline(answered, subscribeMs, what)
      } catch (error) {
        const isSilent = before === this.#received && !this.#isPaused
        if (isSilent || this.#reason !== undefined || !isLate(error)) throw error
      }
    }
  }

  /** Resolves with the reason when the connection ends by itself; stays pending through `close`. */
  lost(): Promise<GatewayError> {
    return this.#lost.promise
  }

  /** Gives the connection up, for the reason told. */
  fail(reason: unknown): void {
    this.#reason ??= reason
    this.#stream.destroy()
  }

  /** Says DISCONNECT, so that the will stays unsaid, and is gone within two seconds. */
  async close(): Promise<void> {
    if (this.#reason === undefined && !this.#isClosing) {
      this.#isClosing = true
      this.#stream.end(disconnectPacket)
      this.#isPaused = false
      this.#stream.resume() // the end of the other side is read, not waited for in vain
      await withDeadline(this.#ended.promise, closeMs, 'closing').catch(() => {})
    }
    this.destroy()
  }

  destroy(): void {
    this.#isClosing = true
    this.#liveness?.stop()
    this.#client.end(true)
    this.#stream.destroy()
  }

  #end(): void {
    this.#liveness?.stop()
    this.#reason ??= new Error(this.#closedText())
    this.#ended.resolve(this.#reason)
    if (!this.#isClosing) this.#lost.resolve(asLoss(this.#reason, this.#url))
  }

  /** What a broker may mean that says nothing: 3.1.1 has no word for it, and Mosquitto 2.0 does not use that of 5. */
  #closedText(): string {
    const closed = 'the broker closed the connection'
    if (this.#connack === undefined) return `${closed} before it answered CONNECT`
    return `${closed}; if it does so again and again, another client has the id ${this.#clientId}: two gateways with one gateway.id?`
  }

  #startLiveness(): void {
    const keepaliveMs = this.#client.keepalive * 1000 // the broker's own wish goes before ours
    if (keepaliveMs === 0) return
    const onSilent = () => this.fail(new RetryableError('PEER_TIMEOUT', `${this.#url} is silent`))
    this.#liveness = new Liveness(keepaliveMs, () => this.write(pingPacket), onSilent)
    this.#liveness.isDeaf = this.#isPaused
  }

  #guardAcknowledgements(): void {
    const refuse = () => this.fail(new Error('mqtt.js is about to acknowledge a message by itself: wrong version'))
    this.#client.handleMessage = refuse
    this.#client.options.customHandleAcks = refuse
  }
}

const isLate = (error: unknown): boolean => error instanceof RetryableError && error.code === 'PEER_TIMEOUT'

function disconnected(reasonCode: number | undefined): Error {
  return Object.assign(new Error(`the broker said DISCONNECT, reason ${reasonCode ?? 0}`), { code: reasonCode })
}

function unsubackCodes(packet: Packet | undefined): readonly number[] {
  const granted = packet?.cmd === 'unsuback' ? packet.granted : undefined
  return Array.isArray(granted) ? granted.map(Number) : []
}

function asLoss(reason: unknown, url: string): GatewayError {
  return reason instanceof RetryableError ? reason : lossError(reason, url)
}
