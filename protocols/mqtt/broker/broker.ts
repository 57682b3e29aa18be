/**
 * One running embedded broker: aedes between our listeners, limits and sessions. What a device publishes to the topics of a
 * source is settled by the gateway before it is acknowledged, then goes to the broker's own subscribers like any message.
 */
import '../client/packet-ids.ts'
import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Aedes, type AedesOptions } from 'aedes'
import { shownAddress } from '../../../src/adapter/address.ts'
import type { Context } from '../../../src/adapter/contract.ts'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { ownBytes } from '../../../src/envelope/own-bytes.ts'
import { messageOf, RetryableError } from '../../../src/errors.ts'
import { Admission } from './admission/admission.ts'
import { type Incoming, Listeners } from './admission/listeners.ts'
import { connectProblem, maxSubscribeBytes, packetProblem, publishProblem } from './admission/rules.ts'
import { brief } from './admission/seldom.ts'
import { Turnstile } from './admission/turnstile.ts'
import { Unfinished } from './admission/unfinished.ts'
import { createUsers, type Users } from './admission/users.ts'
import { Arrivals } from './arrivals.ts'
import { Canary } from './canary.ts'
import { identityOf, type Limits, limitsOf, listenAddresses, type MqttBrokerConnection } from './config.ts'
import { type Answer, Device } from './device.ts'
import type { AedesPublishPacket, Client, OpenAedes, PublishPacket, Subscription } from './driver.ts'
import { Hub } from './hub.ts'
import { guardReads } from './inlet.ts'
import type { Intake } from './intake.ts'
import { Notices } from './notices.ts'
import { ReceiveBuffer } from './receive-buffer.ts'
import { isTooSlow, slowest } from './sessions/backlog.ts'
import { Sessions } from './sessions/sessions.ts'
import { Subscriptions } from './subscriptions.ts'
import { Turns } from './turns.ts'
import { WillPublisher } from './will-publisher.ts'

const drainTimeoutMs = 10_000
const sweepMs = 1_000
const closeWithinMs = 3_000
/** Of packets that have begun and not ended, of all devices. */
const unfinishedBytes = 16 * 1024 ** 2

export class EmbeddedBroker {
  readonly #connection: MqttBrokerConnection
  readonly #limits: Limits
  readonly #intakes: readonly Intake[]
  readonly #context: Context
  readonly #aedes: OpenAedes
  readonly #listeners: Listeners
  readonly #users: Users
  readonly #admission: Admission
  readonly #devices = new Set<Device>()
  readonly #deviceOf = new WeakMap<Client, Device>()
  readonly #turns = new Turns()
  readonly #unfinished: Unfinished
  readonly #failure = Promise.withResolvers<RetryableError>()
  readonly #notices: Notices
  readonly #canary = new Canary(
    {
      publish: (packet) => this.publish(packet),
      subscribe: (topic, deliver) => this.#aedes.subscribe(topic, deliver, () => {}),
    },
    () => this.#onSilence(),
  )
  #sweeping: NodeJS.Timeout | undefined
  #sessions: Sessions | undefined
  #arrivals: Arrivals | undefined
  /** Publications that went out before their PUBACK. */
  readonly #published = new WeakSet<object>()
  #isClosing = false
  readonly #buffer: ReceiveBuffer
  readonly #subscriptions: Subscriptions
  readonly #wills: WillPublisher

  /** `intakes` holds those of all sources of the connection, open or not; more may come. */
  constructor(connection: MqttBrokerConnection, intakes: readonly Intake[], context: Context) {
    this.#connection = connection
    this.#limits = limitsOf(connection)
    this.#unfinished = new Unfinished(Math.max(unfinishedBytes, 4 * this.#limits.maxPacketBytes))
    this.#intakes = intakes
    this.#buffer = new ReceiveBuffer(this.#limits.maxPacketBytes)
    this.#context = context
    this.#notices = new Notices(context)
    this.#subscriptions = new Subscriptions(
      this.#limits,
      this.#notices,
      (username, filter) => this.#sessions?.hasRoomToKeep(username, filter) ?? true,
    )
    this.#aedes = new Aedes(this.#aedesOptions()) as OpenAedes
    this.#users = createUsers(connection.users, identityOf(connection) !== undefined)
    this.#wills = new WillPublisher({
      ...{ buffer: this.#buffer, users: this.#users, limits: this.#limits, notices: this.#notices, intakes },
      publish: (packet) => this.publish(packet),
      isClosing: () => this.#isClosing,
    })
    this.#admission = new Admission({
      users: this.#users,
      maxAway: this.#limits.maxConnections,
      isUser: (name) => connection.users.some(({ username }) => username === name) ?? false,
      willProblem: ({ willTopic }, rights) =>
        willTopic === undefined ? undefined : publishProblem(rights, willTopic, this.#limits),
      hasRoomForWill: () => !this.#buffer.isCrowded && (this.#sessions?.hasRoomForWill ?? true),
      onRefused: (device, reason) => this.#notices.refused(device, reason),
      onTakeOver: (device, earlier) => this.#notices.takenOver(device, earlier),
      onKept: (clientId, username) => this.#sessions?.begin(clientId, username),
      endSession: (clientId) => void this.#sessions?.end(clientId),
    })
    this.#listeners = new Listeners({
      connection: context.connection,
      tls: connection.tls && { ...connection.tls, identity: identityOf(connection) },
      origins: connection.origins,
      limits: this.#limits,
      unfinished: this.#unfinished,
      log: context.log,
      onIncoming: (incoming) => this.#onIncoming(incoming),
      onNoSeat: (reason, address) => this.#notices.noSeat(reason, address),
      onForeign: (origin, address) => this.#notices.foreign(origin, address),
    })
  }

  /** Resolves when the broker does its work no more. */
  get failed(): Promise<RetryableError> {
    return this.#failure.promise
  }

  /** Sockets there are, before and after CONNECT. */
  get connections(): number {
    return this.#listeners.connections
  }

  /** Devices known to the broker. */
  get devices(): number {
    return this.#devices.size
  }

  /** Clients aedes holds; the same in the long run. */
  get registered(): number {
    return Object.keys(this.#aedes.clients).length
  }

  get ports(): readonly number[] {
    return this.#listeners.ports
  }

  /** Rejects with PORT_IN_USE, ACCESS_DENIED, CONFIG_INVALID or FILE_MISSING, which are permanent, or PEER_UNREACHABLE. */
  async start(): Promise<void> {
    const sessions = await this.#startAedes()
    await this.#restoreSessions(sessions)
    await Promise.all(sessions.lostWills.map((will) => this.#wills.publishLost(will, sessions)))
    try {
      await this.#listeners.open(listenAddresses(this.#connection))
    } catch (error) {
      await this.close()
      throw error
    }
    this.#sweeping = setInterval(() => this.#sweep(), sweepMs).unref()
    this.#canary.start()
    this.#notices.crowded(this.#limits.maxConnections)
    const addresses = listenAddresses(this.#connection).map((address, i) =>
      shownAddress({ ...address, port: this.ports[i] }),
    )
    this.#context.log.info(`${this.#context.connection} listens on ${addresses.join(', ')}`)
  }

  /** Resolves when the message is in the queues of its subscribers, on disk, and in their sockets. */
  async publish(packet: PublishPacket): Promise<void> {
    await this.#publishBy(packet, (publish) => publish(() => {}))
  }

  /** The same, but rejects with TARGET_BUSY where only sessions subscribe that have no room. */
  async publishForTarget(packet: PublishPacket): Promise<void> {
    await this.#publishBy(packet, (publish) => this.#sessions?.publishingOwn(publish))
  }

  async #publishBy(packet: PublishPacket, begin: (publish: (done: () => void) => void) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    begin((done) =>
      this.#aedes.publish(packet, (error) => {
        done()
        if (error) reject(error)
        else resolve()
      }),
    )
    await promise
  }

  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#sessions?.freezeWills()
    clearInterval(this.#sweeping)
    this.#canary.stop()
    this.#listeners.stop()
    await nextTurn() // acknowledgements written just now leave with the end of this turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#aedes.close(resolve)
    await withDeadline(promise, closeWithinMs, 'closing the broker').catch(() => {})
    this.#listeners.close()
    const saved = this.#sessions?.close() ?? Promise.resolve()
    await withDeadline(saved, closeWithinMs, 'saving the sessions').catch((error: unknown) => {
      this.#context.log.error('sessions and retained messages of the embedded broker were not saved', {
        error: messageOf(error),
      })
    })
  }

  async #startAedes(): Promise<Sessions> {
    const aedes = this.#aedes
    const hub = new Hub(aedes.mq)
    aedes.mq = hub
    this.#publishOnce()
    await aedes.listen()
    const rules = {
      mayKeep: (clientId: string, filter: string) => this.#admission.deviceOf(clientId)?.filters.has(filter) ?? false,
      usernameOf: (clientId: string) => this.#admission.deviceOf(clientId)?.rights.username,
      onEnd: (clientId: string) => this.#arrivals?.endSession(clientId),
      onDropped: (what: 'queued' | 'retained') => this.#notices.dropped(what),
      onExpired: (what: 'queued' | 'retained', count: number) => this.#context.count(`mqtt_${what}_expired`, count),
      hasListener: (topic: string) => hub.hasListener(topic),
    }
    const sessions = new Sessions(aedes.persistence, rules, this.#context.kept)
    await sessions.setup(aedes)
    aedes.persistence = sessions
    this.#sessions = sessions
    this.#arrivals = new Arrivals(sessions, this.#buffer, () => this.#notices.dropped('qos0'))
    aedes.on('client', (client) => this.#onClient(client))
    aedes.on('clientDisconnect', (client) => this.#onDisconnect(client))
    aedes.on('subscribe', (_subscriptions, client) => this.#onSubscribed(client))
    aedes.on('unsubscribe', (filters, client) => {
      const device = this.#deviceOf.get(client)
      if (device !== undefined) this.#subscriptions.giveUp(device, filters)
      device?.turnstile?.answered()
    })
    aedes.on('clientError', (client, error) => this.#notices.disconnected(client, error))
    aedes.on('connectionError', (client, error) => this.#notices.disconnected(client, error))
    aedes.on('error' as 'closed', (...args: unknown[]) => this.#notices.brokerError(args[0]))
    return sessions
  }

  /** aedes publishes a QoS 1 message after its PUBACK; where that would acknowledge what is not safe, it was done before. */
  #publishOnce(): void {
    const aedes = this.#aedes
    const publish = aedes.publish.bind(aedes) as (...args: unknown[]) => void
    aedes.publish = (packet: PublishPacket, ...rest: unknown[]) => {
      const done = rest.at(-1) as Answer | undefined
      if (this.#published.delete(packet)) return done?.()
      const client = rest[0] as Client | null | (() => void)
      const device = typeof client === 'object' && client !== null ? this.#deviceOf.get(client) : undefined
      if (device === undefined || this.#sessions === undefined) return publish(packet, ...rest)
      this.#sessions.publishing(device.rights.username, () => publish(packet, ...rest))
    }
  }

  /** Kept sessions go on, as far as the configuration still allows it. */
  async #restoreSessions(sessions: Sessions): Promise<void> {
    for (const { clientId, username } of [...sessions.kept()]) {
      const account = this.#users.named(username)
      const reason = account === undefined ? 'its user is no longer named' : account.clientIdProblem(clientId)
      if (account === undefined || reason !== undefined) {
        this.#context.log.info('a kept session ended', { reason, clientId: brief(clientId) })
        await sessions.end(clientId)
        continue
      }
      const rights = account.rightsAs(clientId)
      await sessions.restrict(clientId, (filter) => rights.maySubscribe(filter))
      this.#admission.restore(clientId, rights.username)
    }
  }

  #aedesOptions(): AedesOptions {
    return {
      id: randomUUID(),
      concurrency: 0, // no limit: with one, a missed callback of a subscriber stops the broker (aedes #88)
      connectTimeout: this.#limits.connectTimeoutMs,
      drainTimeout: drainTimeoutMs,
      maxTopicLevels: this.#limits.maxTopicLevels,
      maxClientsIdLength: 65_535, // 3.1's limit of 23 helps nobody
      queueLimit: 1_000, // packets sent on before CONNACK, in the chunk of the CONNECT
      preConnect: (client, packet, done) => {
        this.#onConnect(client, packet)
        done(null, true)
      },
      authenticate: (client, username, password, done) => {
        const device = this.#deviceOf.get(client)
        if (device === undefined) return done(null, false)
        device.clientId = client.id
        device.isKept = client.clean === false
        void this.#admission
          .admit(device, { username, password })
          .then((error) => done(error ?? null, error === undefined))
      },
      authorizePublish: (client, packet, done) => this.#onPublish(client, packet, done),
      published: (packet, client, done) => this.#onPublished(client, packet, done),
      authorizeSubscribe: (client, subscription, done) =>
        done(null, this.#maySubscribe(client, subscription) ? subscription : null),
      authorizeForward: (client, packet) => this.#forward(client, packet),
    }
  }

  #onIncoming(incoming: Incoming): void {
    const { conn } = incoming
    const device = new Device(incoming)
    conn.on('error', () => {})
    guardReads(conn, {
      maxPacketBytes: this.#limits.maxPacketBytes,
      maxSubscribeBytes: maxSubscribeBytes(this.#limits),
      turns: this.#turns,
      unfinished: this.#unfinished,
      isHeld: () => device.isHeld || (device.isRegistered && this.#buffer.keepsOut(device)),
      isBusy: () => device.isBusy || device.waitingBytes > 0,
      onBytes: () => device.onBytes(),
      onRefused: (problem) => this.#notices.misbehaved(device, problem),
    })
    const client = this.#aedes.handle(conn)
    device.turnstile = new Turnstile(client, {
      problemOf: (packet) => packetProblem(packet, this.#limits),
      onRefused: (problem) => {
        this.#notices.misbehaved(device, problem)
        device.close()
      },
      onFree: () => device.readOn(),
    })
    this.#deviceOf.set(client, device)
    this.#devices.add(device)
    conn.once('close', () => {
      this.#devices.delete(device)
      this.#buffer.leave(device)
      device.left()
      this.#subscriptions.giveUp(device)
      device.turnstile?.close()
      if (!device.isRegistered) this.#admission.leave(device, true)
    })
  }

  #onConnect(client: Client, packet: Parameters<NonNullable<AedesOptions['preConnect']>>[1]): void {
    const device = this.#deviceOf.get(client)
    if (device === undefined) return
    device.onConnect()
    device.keepaliveMs = (packet.keepalive ?? 0) * 1000
    if (packet.password !== undefined) packet.password = ownBytes(packet.password) as Buffer // the parser keeps the packet
    packet.keepalive = 0 // kept here: aedes forgets a device's pings while it waits for us
    device.willTopic = packet.will?.topic
    device.connectProblem = connectProblem(packet, this.#limits)
  }

  #onClient(client: Client): void {
    const device = this.#deviceOf.get(client)
    if (device !== undefined && !device.isClosed && !client.closed) {
      device.isRegistered = true
      return
    }
    // it left between its login and here; aedes would keep it for ever (aedes #928)
    void this.#sessions?.delWill(client)
    this.#aedes.unregisterClient(client)
  }

  /** The SUBACK is written; the broker asks for the retained messages before this turn ends. */
  #onSubscribed(client: Client): void {
    const device = this.#deviceOf.get(client)
    if (device === undefined) return
    device.turnstile?.answered()
    this.#sessions?.searchesFor(device)
    queueMicrotask(() => this.#sessions?.searchesFor(undefined))
  }

  #onDisconnect(client: Client): void {
    const device = this.#deviceOf.get(client)
    if (device !== undefined) this.#admission.leave(device, !client.clean)
  }

  #onPublish(client: Client | null, packet: PublishPacket, done: Answer): void {
    if (this.#isClosing) return done(new Error('the broker is closing'))
    const device = client === null ? undefined : this.#deviceOf.get(client)
    const problem = publishProblem(device?.rights, packet.topic, this.#limits)
    if (problem !== undefined) {
      this.#notices.denied(client, packet.topic, problem)
      return done(new Error(problem))
    }
    const intakes = this.#intakes.filter((intake) => intake.matches(packet.topic))
    if (packet.cmd === undefined || device === undefined) this.#wills.offer(packet, intakes, done, device)
    else
      this.#onMessage(
        device,
        packet,
        intakes,
        packet.qos === 1 ? this.#afterPublishing(client, device, packet, done) : done,
      )
  }

  #onMessage(device: Device, packet: PublishPacket, intakes: readonly Intake[], done: Answer): void {
    if (intakes.length > 0) this.#arrivals?.publish(device, packet, intakes, done)
    else if (packet.qos > 0 && device.isBusy) device.hold(done)()
    else done()
  }

  /** PUBACK says that the message is in the queues of those who are away, and retained: on disk, where there is one. */
  #afterPublishing(client: Client | null, device: Device, packet: PublishPacket, done: Answer): Answer {
    return (error) => {
      const isKept = error === undefined && this.#sessions?.mustKeep(packet) === true
      if (!isKept && !device.isPublishing) return done(error)
      const inTurn = device.publishes(done)
      if (!isKept) return inTurn(error)
      this.#aedes.publish(packet, client, (failure) => {
        this.#published.add(packet)
        inTurn(failure ?? undefined)
      })
    }
  }

  /** The last step of every publication. */
  #onPublished(client: Client | null, packet: AedesPublishPacket, done: Answer): void {
    const sessions = this.#sessions
    const isUnsafe = packet.qos > 0 || packet.retain
    if (!isUnsafe || sessions === undefined || !sessions.mustKeep(packet)) return done()
    const device = client === null ? undefined : this.#deviceOf.get(client)
    const answer = device?.waitForRoom(done) ?? done
    sessions.flushed().then(() => answer(), answer)
  }

  #maySubscribe(client: Client, subscription: Subscription): boolean {
    const device = this.#deviceOf.get(client)
    return device !== undefined && this.#subscriptions.grant(device, client, subscription)
  }

  /** A device that does not read what it subscribed to is cut off before it fills the memory. */
  #forward(client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
    if (this.#sessions?.isResent(packet)) packet.dup = true
    if (packet.qos > 0) lowerQos(packet, this.#deviceOf.get(client)?.grantedQos ?? packet.qos)
    if (!isTooSlow(client.conn, this.#limits.maxPacketBytes)) return packet
    if (!client.conn.destroyed) {
      this.#notices.slow(client)
      client.conn.destroy()
    }
    return null
  }

  #sweep(): void {
    for (const device of slowest(this.#devices)) {
      this.#notices.slow({ id: device.clientId })
      device.close()
    }
    for (const device of this.#devices) if (device.isSilent(sweepMs)) device.close()
  }

  #onSilence(): void {
    this.#context.log.error('the embedded broker stopped passing messages on; restarting it')
    this.#failure.resolve(new RetryableError('PEER_LOST', 'the embedded broker stopped passing messages'))
  }
}

/**
 * [MQTT-3.8.4-6]: aedes minds the granted QoS only of filters without wildcards, and never for retained messages. One that
 * waits in a session is sent so that its acknowledgement takes it out.
 */
function lowerQos(packet: AedesPublishPacket, granted: 0 | 1 | 2): void {
  if (packet.qos > granted && (granted > 0 || packet.retain)) packet.qos = granted
}
