/** The composition root: what is connected to what, top to bottom. */
import { setTimeout } from 'node:timers/promises'
import { Budget } from './adapter/budget.ts'
import type { ConfiguredTarget, Context, Kept, Log, Storing } from './adapter/contract.ts'
import type { AnyProtocol } from './adapter/protocol.ts'
import { abandoned } from './adapter/standing.ts'
import type { GatewayConfig, RouteConfig, TargetConfig } from './config/schema/types.ts'
import { Exchange, type ReplyChannel } from './delivery/answered/exchange.ts'
import { DeadLetterForwarder, type DeadLetterTarget } from './delivery/dead-letters/forwarder.ts'
import { DeadLetterOffice } from './delivery/dead-letters/office.ts'
import { type NumberedRoute, placeBy } from './delivery/dead-letters/placement.ts'
import { Workbench } from './delivery/dead-letters/workbench.ts'
import { destinationLimitOf } from './delivery/destination-limit.ts'
import { intake, type Reader } from './delivery/intake.ts'
import { OutboundLink } from './delivery/outbound-link.ts'
import { Outlet } from './delivery/outlet.ts'
import { Route } from './delivery/route.ts'
import { SourceCustody } from './delivery/source-custody.ts'
import { Residence } from './delivery/stored/residence.ts'
import { StoreCustody } from './delivery/stored/store-custody.ts'
import { StoreKeeper } from './delivery/stored/store-keeper.ts'
import { sinkSession, sourceSession, supervise } from './delivery/supervisor.ts'
import { targetTextsOf } from './delivery/target-text.ts'
import type { Format } from './envelope/envelope.ts'
import { failpoint } from './failpoint.ts'
import { type CompiledRoute, compileRoute, compileTarget, Router, scopeOf } from './routing/router.ts'
import { withSidecar } from './sidecar/expand.ts'
import type { Repeatable, Store } from './store/contract.ts'
import { openStore } from './store/store.ts'
import { ExchangeStats, LinkStats, RouteStats, TargetStats } from './telemetry/stats.ts'
import type { GatewayStatus } from './telemetry/status.ts'
import { version } from './version.ts'

/** What a route is made of, whichever custody it has. */
interface RouteParts {
  /** Its number in the store. */
  readonly number: number
  readonly compiled: CompiledRoute
  readonly stats: RouteStats
  readonly outlets: readonly Outlet[]
  readonly deadLetters: DeadLetterOffice
}

/** Time for the released messages to reach their sources at the end of a drain, in milliseconds. */
const farewellMs = 2_000
/** Targets get so long to connect before sources are read, so that their first messages need not wait on disk. Milliseconds. */
const headStartMs = 1_000
/** How often a drain looks whether what is on its way has arrived, in milliseconds. */
const drainLookMs = 10

export class Gateway {
  readonly #config: GatewayConfig
  readonly #protocols: ReadonlyMap<string, AnyProtocol>
  readonly #log: Log
  readonly #budget: Budget
  readonly #store: Store
  readonly #keeper: StoreKeeper
  readonly #residence: Residence
  /** For people to look after the dead letters. */
  readonly workbench: Workbench
  readonly #links: LinkStats[] = []
  readonly #outbound = new Map<string, OutboundLink>()
  readonly #forwarders: DeadLetterForwarder[] = []
  readonly #exchange: Exchange
  readonly #parts: readonly RouteParts[]
  readonly #routes: readonly Route[]
  /** By the route's number: of those that acknowledge `stored`, and of others that have messages in the store all the same. */
  readonly #stored = new Map<number, StoreCustody>()
  readonly #stopSources = new AbortController()
  readonly #stopSinks = new AbortController()
  /** Resolves when the sources may begin. */
  readonly #headStart = Promise.withResolvers<void>()
  readonly #fatal = Promise.withResolvers<unknown>()
  readonly #startedAt = Date.now()
  #sources: Promise<unknown> = Promise.resolve()
  #sinks: Promise<unknown> = Promise.resolve()
  #stopped: Promise<void> | undefined

  /** Throws PermanentError where the store cannot be opened: STORE_IN_USE, STORE_DAMAGED, STORE_FAILED. */
  constructor(written: GatewayConfig, protocols: readonly AnyProtocol[], log: Log) {
    const config = withSidecar(written)
    this.#config = config
    this.#protocols = new Map(protocols.map((protocol) => [protocol.name, protocol]))
    this.#log = log
    this.#budget = new Budget({
      maxCount: config.gateway.maxInFlight,
      maxBytes: config.gateway.maxInFlightBytes,
      parts: new Set(readsOf(config.routes).map((from) => this.#sourceOf(from))).size,
    })
    this.#residence = new Residence(config.gateway.maxInFlightBytes)
    this.#store = openStore({
      directory: config.gateway.dataDir,
      ...config.store,
      log,
      onFatal: (error) => this.#fatal.resolve(error),
    })
    this.#exchange = new Exchange({
      gatewayId: config.gateway.id,
      protocolOf: (name) => this.#protocol(name),
      connectionOf: (name) => config.connections.get(name)!,
      dispatcherOf: (end) => this.#outboundLink(end).dispatcher,
      log,
    })
    this.#parts = config.routes.map((route) => this.#routeParts(route))
    this.#routes = this.#parts.map((parts) => this.#route(parts))
    const names = config.routes.map(({ name }) => name)
    this.#keeper = new StoreKeeper({ store: this.#store, settings: config.store, names, custodies: this.#stored, log })
    this.workbench = new Workbench({
      deadLetters: this.#store.deadLetters,
      place: placeBy((name) => this.#numberedRoute(name)),
      onRequeued: (number, count) => this.#requeued(number, count),
      log,
    })
  }

  /** Connects everything; a broker that is away is waited for. */
  start(): void {
    this.#keeper.start()
    for (const forwarder of this.#forwarders) forwarder.wake()
    const groups = this.#sourceGroups().map((routes) => ({ routes, link: this.#sourceLink(routes) }))
    const [replying, reading] = split(groups, ({ routes }) => this.#exchange.linksIn(routes).length === routes.length)
    this.#sinks = Promise.all([
      ...[...this.#outbound.values()].map((link) => this.#superviseSink(link)),
      ...[...this.#exchange.channels.values()].map((channel) => this.#superviseReplies(channel)),
      ...replying.map(({ routes, link }) => this.#superviseSource(routes, link, this.#stopSinks.signal)),
    ])
    this.#tellAbandoned()
    const starting = reading.map(async ({ routes, link }) => {
      await this.#headStart.promise
      await this.#superviseSource(routes, link, this.#stopSources.signal)
    })
    this.#sources = Promise.all(starting)
    setTimeout(headStartMs, undefined, { ref: false }).then(this.#headStart.resolve, () => {})
    this.#stopSources.signal.addEventListener('abort', () => this.#headStart.resolve(), { once: true })
  }

  /** Resolves with the reason when the gateway cannot go on, e.g. its port is in use; otherwise never. */
  get fatal(): Promise<unknown> {
    return this.#fatal.promise
  }

  /** Sources stop, what is in flight settles (or goes back when the time is over), then the sinks close. */
  stop(): Promise<void> {
    this.#stopped ??= this.#drain()
    return this.#stopped
  }

  status(): GatewayStatus {
    return {
      id: this.#config.gateway.id,
      version,
      startedAt: this.#startedAt,
      isDraining: this.#stopSources.signal.aborted,
      links: this.#links,
      routes: this.#routes.map(({ stats }) => stats),
      inFlight: { count: this.#budget.count, bytes: this.#budget.bytes },
      store: this.#keeper.status(),
    }
  }

  async #drain(): Promise<void> {
    this.#stopSources.abort()
    this.#store.stopWaiting()
    failpoint('drain.begun')
    const untilMs = performance.now() + this.#config.gateway.drainMs
    const isDrained = await endsWithin(this.#sources, this.#config.gateway.drainMs)
    this.#keeper.stop()
    for (const custody of this.#stored.values()) custody.stop()
    for (const forwarder of this.#forwarders) forwarder.stop()
    for (const { dispatcher } of this.#outbound.values()) dispatcher.windDown()
    await this.#settleStored(untilMs)
    if (!isDrained) {
      const text = 'drain timed out: undelivered messages were returned to their sources'
      this.#log.warn(text, { code: 'DRAIN_INCOMPLETE' })
    }
    await endsWithin(this.#exchange.stop(), farewellMs)
    for (const { dispatcher } of this.#outbound.values()) dispatcher.stop()
    if (!isDrained) await endsWithin(this.#sources, farewellMs)
    await this.#settleStored(performance.now() + farewellMs)
    this.#stopSinks.abort()
    await endsWithin(this.#sinks, farewellMs)
    this.#keeper.close()
  }

  /** What is under way from the store arrives, so that the next start does not send it again. */
  async #settleStored(untilMs: number): Promise<void> {
    const isBusy = () => [...this.#stored.values()].some((custody) => custody.isBusy)
    while (isBusy() && performance.now() < untilMs) await setTimeout(drainLookMs)
  }

  #routeParts(route: RouteConfig): RouteParts {
    const stats = new RouteStats(
      route.name,
      route.to.map((target) => new TargetStats(target.connection, target.protocol)),
      route.acknowledge === 'stored',
      route.request && new ExchangeStats(),
    )
    const compiled = compileRoute(route, (name) => this.#protocol(name))
    stats.missingFields = () => compiled.misses.count
    const texts = targetTextsOf(route, (name) => this.#protocol(name))
    const { route: number, bits } = this.#store.outbox.route(route.name, texts)
    const outlets = route.to.map((target, index) =>
      this.#outlet(target, route, { index, bit: bits[index]!, stats: stats.targets[index]! }),
    )
    return { number, compiled, stats, outlets, deadLetters: this.#deadLetterOffice(route) }
  }

  #outlet(target: TargetConfig, route: RouteConfig, own: { index: number; bit: number; stats: TargetStats }): Outlet {
    return new Outlet({
      ...own,
      id: `${route.name}/${own.index}`,
      order: route.order,
      retry: route.retry,
      limit: destinationLimitOf(target, this.#protocol(target.protocol)),
      dispatcher: this.#outboundLink(target).dispatcher,
      gatewayId: this.#config.gateway.id,
      addressOf: this.#addressOf(target),
      log: this.#log,
    })
  }

  /** Whatever a route acknowledges, what an earlier run has left in the store goes on from there. */
  #route(parts: RouteParts): Route {
    const { compiled, number, deadLetters } = parts
    const isStored = compiled.route.acknowledge === 'stored'
    const isLeft = this.#store.outbox.waiting(number).count > 0
    const stored = isStored || isLeft ? this.#storeCustody(parts) : undefined
    if (compiled.route.request !== undefined) return this.#exchange.route(parts)
    const custody = isStored && stored !== undefined ? stored : new SourceCustody(parts)
    return new Route({ compiled, custody, deadLetters, gatewayId: this.#config.gateway.id })
  }

  #storeCustody(parts: RouteParts): StoreCustody {
    const { outbox } = this.#store
    const repeats = this.#repeatsOf(parts.compiled.route)
    const flushed = () => this.#store.flushed()
    const custody = new StoreCustody({ ...parts, outbox, flushed, residence: this.#residence, repeats })
    this.#stored.set(parts.number, custody)
    return custody
  }

  /** Dead letters wait for their route again, also for one that has had nothing in the store so far. */
  #requeued(number: number, count: number): void {
    const known = this.#stored.get(number)
    if (known !== undefined) return known.requeued(count)
    const parts = this.#parts.find((route) => route.number === number)
    if (parts !== undefined && !this.#stopSources.signal.aborted) this.#storeCustody(parts).lookAgain()
  }

  #numberedRoute(name: string): NumberedRoute | undefined {
    const parts = this.#parts.find(({ compiled }) => compiled.route.name === name)
    if (parts === undefined) return undefined
    const { number, outlets, compiled, stats } = parts
    const expectsReplies = stats.exchange !== undefined
    return { route: number, bits: outlets.map(({ bit }) => bit), match: compiled.route.match, expectsReplies }
  }

  /** A scope of the route's own has a name that nobody can give. */
  #repeatsOf({ name, deduplicate }: RouteConfig): Omit<Repeatable, 'id'> | undefined {
    if (deduplicate === undefined) return undefined
    const { scope = `route ${name}`, windowMs } = deduplicate
    return { scope: this.#store.outbox.scope(scope, windowMs), windowMs }
  }

  #deadLetterOffice(route: RouteConfig): DeadLetterOffice {
    const parts = { route: route.name, store: this.#store.deadLetters, log: this.#log }
    const target = route.deadLetter && this.#deadLetterTarget(route.deadLetter, route)
    const forwarder = target && new DeadLetterForwarder({ ...parts, target })
    if (forwarder !== undefined) this.#forwarders.push(forwarder)
    return new DeadLetterOffice({ ...parts, forwarder })
  }

  #deadLetterTarget(target: TargetConfig, route: RouteConfig): DeadLetterTarget {
    const protocolOf = (name: string) => this.#protocol(name)
    const compiled = compileTarget(target, scopeOf(route, protocolOf), protocolOf)
    const { dispatcher } = this.#outboundLink(target)
    this.#log.debug(`dead letters of route ${route.name} go to ${target.connection}`)
    const limit = destinationLimitOf(target, this.#protocol(target.protocol))
    return {
      dispatcher,
      limit,
      outbound: (envelope, params, receivedAt) => compiled.outbound({ envelope, params, receivedAt }),
    }
  }

  #addressOf(target: TargetConfig): (settings: unknown) => string {
    const { sink } = this.#protocol(target.protocol)
    return (settings) => `${target.protocol}://${target.connection}/${sink?.address(settings) ?? ''}`
  }

  #outboundLink(target: Pick<TargetConfig, 'connection' | 'protocol'>): OutboundLink {
    const known = this.#outbound.get(target.connection)
    if (known !== undefined) return known
    const stats = this.#linkStats(target.connection, target.protocol, 'sink')
    const sink = this.#protocol(target.protocol).sink!.create(
      this.#config.connections.get(target.connection)!.settings,
      { ...this.#context(stats), targets: targetsOf(this.#config.routes, target.connection) },
    )
    const link = new OutboundLink(sink, stats)
    link.dispatcher.onOpen(() => this.#onSinkOpen())
    this.#outbound.set(target.connection, link)
    return link
  }

  /** Nothing has to wait on disk when all targets are there. */
  #onSinkOpen(): void {
    for (const { dispatcher } of this.#outbound.values()) if (!dispatcher.isOpen) return
    this.#headStart.resolve()
  }

  async #superviseSink(link: OutboundLink): Promise<void> {
    const session = sinkSession(link.sink, link.dispatcher, () => link.nextOutage())
    await supervise(link.sink, session, link.stats, this.#log, this.#stopSinks.signal).catch(this.#fatal.resolve)
  }

  async #superviseReplies({ connection, protocol, link, create }: ReplyChannel): Promise<void> {
    const stats = this.#linkStats(connection, protocol, 'replies')
    const { maxInFlight: maxCount, maxInFlightBytes: maxBytes } = this.#config.gateway
    // their own: requests that fill the gateway's must not keep their replies out
    const source = create({ ...this.#context(stats), budget: new Budget({ maxCount, maxBytes }) })
    const receive = sourceSession(source, this.#exchange.intake(link, stats))
    const session = (signal: AbortSignal) => link.whileOpen(receive(signal))
    await supervise(source, session, stats, this.#log, this.#stopSinks.signal).catch(this.#fatal.resolve)
  }

  /** Readers that share one source: the same connection, and what its protocol calls the same group. */
  #sourceGroups(): readonly (readonly Reader[])[] {
    const readers: readonly Reader[] = [...this.#routes, ...this.#exchange.readers]
    return [...Map.groupBy(readers, ({ compiled }) => this.#sourceOf(compiled.route.from)).values()]
  }

  #sourceOf(from: RouteConfig['from']): string {
    return `${from.connection}\0${this.#groupOf(from)}`
  }

  #groupOf(from: RouteConfig['from']): string {
    const { settings } = this.#config.connections.get(from.connection)!
    return this.#protocol(from.protocol).source!.group(from.settings, settings)
  }

  /** What sources that are no more have left at their brokers: nobody reads it, and nobody else will say so. */
  #tellAbandoned(): void {
    const { routes } = this.#config
    for (const connection of this.#store.kept.connections()) {
      const read = readsOf(routes).filter((from) => from.connection === connection)
      const groups = new Set(read.map((from) => this.#groupOf(from)))
      for (const text of abandoned(keptOf(this.#store, connection), groups)) {
        this.#log.warn(`no route reads this any more, but the broker goes on filling it: ${text}`, {
          connection,
        })
      }
    }
  }

  #sourceLink(group: readonly Reader[]): LinkStats {
    const { connection, protocol } = group[0]!.compiled.route.from
    return this.#linkStats(connection, protocol, 'source')
  }

  async #superviseSource(group: readonly Reader[], stats: LinkStats, stop: AbortSignal): Promise<void> {
    const routes = group.map(({ compiled }) => compiled.route)
    const { protocol } = routes[0]!.from
    const froms = routes.map((route) => route.from.settings)
    const { format } = routes[0]!.from // the same for all of a group: the configuration is refused otherwise
    const source = this.#protocol(protocol).source!.create(this.#settingsOf(routes[0]!), froms, {
      ...this.#context(stats, format),
      group: this.#groupOf(routes[0]!.from),
      settlesOnDisk: routes.every((route) => route.acknowledge === 'stored'),
      storing: storingOf(this.#store, routes),
      expectsReply: (from) => routes.some((route) => route.from.settings === from && route.request !== undefined),
    })
    const byRules = new Map(group.map((route) => [route.compiled, route]))
    const router = new Router([...byRules.keys()], (name) => this.#protocol(name))
    const receive = sourceSession(source, intake(router, byRules, stats))
    const links = this.#exchange.linksIn(group)
    const session = (signal: AbortSignal) => links.reduce((run, link) => link.whileOpen(run), receive(signal))
    await supervise(source, session, stats, this.#log, stop).catch(this.#fatal.resolve)
  }

  #linkStats(connection: string, protocol: string, role: LinkStats['role']): LinkStats {
    const stats = new LinkStats(connection, protocol, role)
    this.#links.push(stats)
    return stats
  }

  #context(stats: LinkStats, format?: Format): Context {
    return {
      format,
      connection: stats.connection,
      gatewayId: this.#config.gateway.id,
      log: this.#log,
      budget: this.#budget,
      kept: keptOf(this.#store, stats.connection),
      count: (name, by = 1) => stats.extra.set(name, (stats.extra.get(name) ?? 0) + by),
    }
  }

  #settingsOf(route: RouteConfig): unknown {
    return this.#config.connections.get(route.from.connection)!.settings
  }

  #protocol(name: string): AnyProtocol {
    const protocol = this.#protocols.get(name)
    if (protocol === undefined) throw new TypeError(`no protocol ${name}`)
    return protocol
  }
}

/** Where routes read, replies too. */
const readsOf = (routes: readonly RouteConfig[]) =>
  routes.flatMap(({ from, request }) => (request?.reply.from === undefined ? [from] : [from, request.reply.from]))

/** What goes out through a connection. */
function targetsOf(routes: readonly RouteConfig[], connection: string): ConfiguredTarget[] {
  return routes.flatMap(({ acknowledge, to, deadLetter, request }) => {
    const letters = deadLetter === undefined ? [] : [deadLetter]
    const answers = request?.to === undefined ? [] : [request.to]
    return [
      ...[...to, ...answers].map((target) => ({ target, isStored: acknowledge === 'stored' })),
      ...letters.map((target) => ({ target, isStored: true })),
    ].flatMap(({ target, isStored }) =>
      target.connection === connection ? [{ settings: target.settings, isStored }] : [],
    )
  })
}

function split<T>(items: readonly T[], isFirst: (item: T) => boolean): [first: T[], second: T[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))]
}

async function endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>()
  const timer = globalThis.setTimeout(() => resolve(false), ms)
  const isDone = await Promise.race([work.then(() => true as const), late])
  clearTimeout(timer)
  return isDone
}

/** The part of the store's kept entries that belongs to one connection. */
function keptOf(store: Store, connection: string): Kept {
  return {
    all: (space) => store.kept.all(connection, space),
    put: ({ space, key, value }) => store.kept.put(connection, space, key, value),
    delete: (space, key) => store.kept.delete(connection, space, key),
    flushed: () => store.flushed(),
  }
}

function storingOf(store: Store, routes: readonly RouteConfig[]): Storing {
  const stored = routes.filter(({ acknowledge }) => acknowledge === 'stored')
  const froms = new Set(stored.map(({ from }) => from.settings))
  return {
    isFor: (from) => froms.has(from),
    get isFull() {
      return store.isFull
    },
  }
}
