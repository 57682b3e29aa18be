/** The cluster as one side of the gateway sees it: a connected broker for each node, and who leads what. */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type HostPort, parseHostPort, shownHostPort } from '../../../src/adapter/address.ts'
import type { Context, Log } from '../../../src/adapter/contract.ts'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { clientTlsOptions } from '../../../src/adapter/tls-files.ts'
import { hungUpHint } from '../../../src/adapter/tls-hint.ts'
import { type GatewayError, PermanentError, RetryableError } from '../../../src/errors.ts'
import type { KafkaConnection } from '../config.ts'
import { isOutage, toGatewayError } from '../errors.ts'
import {
  Broker,
  ConnectionPool,
  createLogger,
  type DriverBroker,
  type DriverLogger,
  type WireProtocol,
} from './guard.ts'
import { driverLog } from './log.ts'
import { type Metadata, metadataRequest, type TopicMetadata } from './requests.ts'

interface Node {
  readonly address: HostPort
  readonly broker: DriverBroker
  readonly ready: Promise<void>
  readonly sockets: Set<Socket>
}

const keepAliveMs = 30_000
/** Of a large cluster, so many are tried at the opening. */
const mostReached = 5
/** Names may come from templates; past this many a sink has all looked up anew. */
const maxTopics = 10_000
const requiredVersions = { 0: 8, 1: 11, 3: 6 } // Produce, Fetch, Metadata: Kafka 2.4

/** Begun by `open`, ended by `close`; another begin needs another Cluster, so nothing late can touch a new one. */
export class Cluster {
  readonly #settings: KafkaConnection
  readonly #clientId: string
  readonly #logger: DriverLogger
  readonly #log: Log
  readonly #nodes = new Map<string, Node>()
  #addresses = new Map<number, HostPort>()
  /** Of each address that was learnt, where from. */
  readonly #advertisedBy = new Map<string, string>()
  #topics = new Map<string, TopicMetadata>()
  #isClosed = false
  #isReconnecting = false
  readonly #lost = Promise.withResolvers<GatewayError>()

  constructor(settings: KafkaConnection, context: Context) {
    this.#settings = settings
    this.#clientId = settings.clientId ?? `trivium-${context.gatewayId}`
    this.#logger = createLogger({ level: 2, logCreator: () => driverLog(context.log) })
    this.#log = context.log
    clientTlsOptions(settings.tls, context.log) // throws where its files cannot be used
  }

  get requestTimeoutMs(): number {
    return this.#settings.requestTimeout
  }

  /**
   * Connects to the first broker of the list that answers, and to one at least at the address it advertises: partitions
   * are led there. Throws the last one's error.
   */
  async open(signal: AbortSignal): Promise<void> {
    await this.refresh([], { signal })
    const advertised = [...this.#addresses.values()]
    if (advertised.length === 0 || advertised.some((address) => this.#nodes.has(shownHostPort(address)))) return
    const reaching = advertised.slice(0, mostReached).map((address) => this.#connected(address))
    await Promise.any(reaching).catch(({ errors }: AggregateError) => {
      throw errors[0]
    })
  }

  /** Destroys every socket; waits for nobody. https://github.com/tulios/kafkajs/issues/767 */
  close(): void {
    this.#isClosed = true
    for (const node of [...this.#nodes.values()]) this.#drop(node)
  }

  /** Closes because of an error, which `lost` then tells. */
  fail(error: GatewayError): void {
    this.close()
    this.#lost.resolve(error)
  }

  /** Resolves when the last connection has gone and no broker can be reached; stays pending through `close`. */
  lost(): Promise<GatewayError> {
    return this.#lost.promise
  }

  /** Asks anew who leads what; `undefined` asks for all topics. Topics not there have an error code in `topic`. */
  async refresh(
    topics: readonly string[] | undefined,
    { signal, mayCreate }: { signal?: AbortSignal | undefined; mayCreate?: boolean } = {},
  ): Promise<Metadata> {
    let failure: unknown
    for (const address of this.#candidates()) {
      signal?.throwIfAborted()
      try {
        const metadata = await this.#send(address, metadataRequest(topics, mayCreate), this.#settings.requestTimeout)
        this.#learn(metadata, address)
        return metadata
      } catch (error) {
        failure = toGatewayError(error, `broker ${shownHostPort(address)}`)
        if (failure instanceof RetryableError && failure.code === 'CREDENTIALS_REFUSED') break
      }
    }
    throw failure
  }

  /** Forgets all topics when there are too many. Not while something is under way that needs them. */
  limitTopics(): void {
    if (this.#topics.size > maxTopics) this.#topics.clear()
  }

  topic(name: string): TopicMetadata | undefined {
    return this.#topics.get(name)
  }

  /** The node that leads a partition; undefined while there is none or it is not known. */
  leaderOf(topic: string, partition: number): number | undefined {
    const found = this.#topics.get(topic)?.partitions.find(({ id }) => id === partition)
    return found === undefined || found.leader < 0 ? undefined : found.leader
  }

  /** A connected broker; throws at once when its node is not known, else within the connect deadline. */
  async broker(nodeId: number): Promise<DriverBroker> {
    const address = this.#addresses.get(nodeId)
    if (address === undefined) throw new RetryableError('PEER_UNREACHABLE', `Kafka node ${nodeId} is not known`)
    return this.#connected(address)
  }

  /** Any connected broker. */
  async anyBroker(): Promise<DriverBroker> {
    for (const { broker, ready } of this.#nodes.values()) {
      await ready
      return broker
    }
    const address = this.#candidates()[0] as HostPort
    return this.#connected(address)
  }

  /** Sends one request to a node; after the deadline its connections are given up, so that no late answer is mistaken. */
  async send<T>(nodeId: number, protocol: WireProtocol<T>, timeoutMs: number): Promise<T> {
    const address = this.#addresses.get(nodeId)
    if (address === undefined) throw new RetryableError('PEER_UNREACHABLE', `Kafka node ${nodeId} is not known`)
    return this.#send(address, protocol, timeoutMs)
  }

  /** As `send`, for a request that kafkajs words itself. */
  async ask<T>(broker: DriverBroker, what: string, request: Promise<T>, timeoutMs: number): Promise<T> {
    try {
      return await withDeadline(request, timeoutMs, what)
    } catch (error) {
      if (error instanceof RetryableError && error.code === 'PEER_TIMEOUT') this.#dropBroker(broker)
      throw error
    }
  }

  async #send<T>(address: HostPort, protocol: WireProtocol<T>, timeoutMs: number): Promise<T> {
    const broker = await this.#connected(address)
    const what = `${protocol.request.apiName} at ${shownHostPort(address)}`
    return this.ask(broker, what, broker.connectionPool.send(protocol), timeoutMs)
  }

  /** Known nodes first, connected ones before the others, then the configured brokers. */
  #candidates(): HostPort[] {
    const known = new Map<string, HostPort>()
    for (const { address } of this.#nodes.values()) known.set(shownHostPort(address), address)
    for (const address of this.#addresses.values()) known.set(shownHostPort(address), address)
    for (const text of this.#settings.brokers) {
      const address = parseHostPort(text)
      known.set(shownHostPort(address), address)
    }
    return [...known.values()]
  }

  #learn(metadata: Metadata, from: HostPort): void {
    for (const broker of metadata.brokers) {
      const advertised = shownHostPort(broker)
      if (!this.#advertisedBy.has(advertised)) this.#advertisedBy.set(advertised, shownHostPort(from))
    }
    this.#addresses = new Map(metadata.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    for (const topic of metadata.topics) this.#topics.set(topic.name, topic)
  }

  async #connected(address: HostPort): Promise<DriverBroker> {
    if (this.#isClosed) throw new RetryableError('PEER_LOST', 'the Kafka connection is closed')
    const node = this.#nodes.get(shownHostPort(address)) ?? this.#connect(address)
    try {
      await node.ready
    } catch (error) {
      throw this.#explained(error, shownHostPort(address))
    }
    return node.broker
  }

  /** An address that nobody wrote into the configuration: says who gave it. */
  #explained(error: unknown, address: string): unknown {
    const by = this.#advertisedBy.get(address)
    const failure = toGatewayError(error, `broker ${address}`)
    if (by === undefined || by === address || !isOutage(failure)) return error
    const origin = `the broker at ${by} advertises ${address}`
    const text = `${failure.message}; ${origin}: its advertised.listeners must name an address that can be reached from here`
    return new RetryableError(failure.code, text, { cause: error })
  }

  #connect(address: HostPort): Node {
    const sockets = new Set<Socket>()
    const broker = new Broker({
      connectionPool: new ConnectionPool({
        ...address,
        ssl: this.#settings.tls && clientTlsOptions(this.#settings.tls, this.#log),
        sasl: this.#settings.sasl,
        clientId: this.#clientId,
        logger: this.#logger,
        connectionTimeout: this.#settings.connectTimeout,
        requestTimeout: this.#settings.requestTimeout,
        enforceRequestTimeout: false, // a timer every 100 ms for each connection; each request has its own deadline here
        socketFactory: socketFactory((socket) => {
          if (this.#nodes.get(shownHostPort(address)) !== node) socket.destroy() // of a node that has been given up meanwhile
          sockets.add(socket)
          socket.once('close', () => this.#drop(node))
        }),
      }),
      logger: this.#logger,
      authenticationTimeout: this.#settings.connectTimeout,
      allowAutoTopicCreation: false,
    })
    const opening = broker.connect().then(
      () => checkVersions(broker, address),
      (error: unknown) => this.#refuse(address, error),
    )
    const ready = withDeadline(opening, this.#settings.connectTimeout, `connecting to ${shownHostPort(address)}`)
    const node: Node = { address, broker, ready, sockets }
    ready.catch(() => this.#drop(node))
    this.#nodes.set(shownHostPort(address), node)
    return node
  }

  #refuse(address: HostPort, error: unknown): never {
    const failure = toGatewayError(error, `broker ${shownHostPort(address)}`)
    if (failure.code !== 'PEER_LOST') throw error
    const hint = hungUpHint('Kafka', this.#settings.tls !== undefined, 'tls: {}')
    throw new RetryableError('PEER_UNREACHABLE', `${failure.message}; ${hint}`, { cause: error })
  }

  #dropBroker(broker: DriverBroker): void {
    for (const node of this.#nodes.values()) if (node.broker === broker) this.#drop(node)
  }

  /** kafkajs hears of a lost socket only by its 'end': what waits for an answer is told here in every case. */
  #drop(node: Node): void {
    if (this.#nodes.get(shownHostPort(node.address)) === node) this.#nodes.delete(shownHostPort(node.address))
    const lost = new RetryableError('PEER_LOST', `the connection to ${shownHostPort(node.address)} is lost`)
    for (const connection of node.broker.connectionPool.pool) connection.rejectRequests(lost)
    for (const socket of node.sockets) socket.destroy()
    node.sockets.clear()
    if (this.#nodes.size === 0 && !this.#isClosed) setImmediate(() => void this.#reconnect())
  }

  /** Brokers close connections that were idle for ten minutes: only one that cannot be had again is lost. */
  async #reconnect(): Promise<void> {
    if (this.#isClosed || this.#isReconnecting || this.#nodes.size > 0) return
    this.#isReconnecting = true
    try {
      await this.refresh([])
      this.#isReconnecting = false
    } catch (error) {
      this.#lost.resolve(toGatewayError(error, 'reconnecting')) // and none is tried again: whoever hears of it opens another
    }
  }
}

function checkVersions(broker: DriverBroker, address: HostPort): void {
  for (const [api, version] of Object.entries(requiredVersions)) {
    if ((broker.versions[Number(api)]?.maxVersion ?? 0) >= version) continue
    throw new PermanentError('CONFIG_INVALID', `the broker ${shownHostPort(address)} is older than Kafka 2.4`)
  }
}

interface SocketOptions extends HostPort {
  readonly ssl: Readonly<Record<string, unknown>> | undefined
  readonly onConnect: () => void
}

function socketFactory(made: (socket: Socket) => void): (options: SocketOptions) => Socket {
  return ({ host, port, ssl, onConnect }) => {
    const name = isIP(host) === 0 ? { servername: host } : {}
    const socket = ssl ? connectTls({ host, port, ...name, ...ssl }, onConnect) : connectTcp({ host, port }, onConnect)
    socket.setKeepAlive(true, keepAliveMs)
    socket.setNoDelay(true)
    made(socket)
    return socket
  }
}
