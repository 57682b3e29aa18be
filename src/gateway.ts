/** The composition root: what is connected to what, top to bottom. */
import { Budget } from './adapter/budget.ts'
import type { Context, Log, Sink } from './adapter/contract.ts'
import type { AnyProtocol } from './adapter/protocol.ts'
import type { GatewayConfig, RouteConfig, TargetConfig } from './config/types.ts'
import { DeadLetterOffice, type DeadLetterTarget } from './delivery/dead-letter-office.ts'
import { Dispatcher } from './delivery/dispatcher.ts'
import { intake } from './delivery/intake.ts'
import { Outlet } from './delivery/outlet.ts'
import { RouteRun } from './delivery/route-run.ts'
import { sinkSession, sourceSession, supervise } from './delivery/supervisor.ts'
import type { Format } from './envelope/envelope.ts'
import type { GatewayError } from './errors.ts'
import { compileRoute, compileTarget, Router, scopeOf } from './routing/router.ts'
import { DeadLetterJournal } from './store/dead-letter-journal.ts'
import type { DeadLetters } from './store/dead-letters.ts'
import { LinkStats, RouteStats, TargetStats } from './telemetry/stats.ts'
import type { GatewayStatus } from './telemetry/status.ts'
import { version } from './version.ts'

/** A connection as target: one sink, shared by all routes that send there. */
interface OutboundLink {
  readonly sink: Sink
  readonly dispatcher: Dispatcher
  readonly stats: LinkStats
  /** The next outage that a send meets. */
  readonly outage: () => Promise<GatewayError>
}

/** Time for the released messages to reach their sources at the end of a drain, in milliseconds. */
const farewellMs = 2_000

export class Gateway {
  readonly #config: GatewayConfig
  readonly #protocols: ReadonlyMap<string, AnyProtocol>
  readonly #log: Log
  readonly #budget: Budget
  readonly #deadLetters: DeadLetters
  readonly #links: LinkStats[] = []
  readonly #outbound = new Map<string, OutboundLink>()
  readonly #offices: DeadLetterOffice[] = []
  readonly #runs: readonly RouteRun[]
  readonly #stopSources = new AbortController()
  readonly #stopSinks = new AbortController()
  readonly #fatal = Promise.withResolvers<unknown>()
  readonly #startedAt = Date.now()
  #sources: Promise<unknown> = Promise.resolve()
  #sinks: Promise<unknown> = Promise.resolve()
  #stopped: Promise<void> | undefined

  constructor(config: GatewayConfig, protocols: readonly AnyProtocol[], log: Log) {
    this.#config = config
    this.#protocols = new Map(protocols.map((protocol) => [protocol.name, protocol]))
    this.#log = log
    this.#budget = new Budget({ maxCount: config.gateway.maxInFlight, maxBytes: config.gateway.maxInFlightBytes })
    this.#deadLetters = new DeadLetterJournal(config.gateway.dataDir)
    this.#runs = config.routes.map((route) => this.#runOf(route))
  }

  /** Connects everything; a broker that is away is waited for. */
  start(): void {
    this.#sinks = Promise.all([...this.#outbound.values()].map((link) => this.#superviseSink(link)))
    this.#sources = Promise.all(this.#sourceGroups().map((runs) => this.#superviseSource(runs)))
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
      routes: this.#runs.map((run) => run.stats),
      inFlight: { count: this.#budget.count, bytes: this.#budget.bytes },
    }
  }

  async #drain(): Promise<void> {
    this.#stopSources.abort()
    const isDrained = await endsWithin(this.#sources, this.#config.gateway.drainMs)
    if (!isDrained) {
      this.#log.warn('not everything in flight was delivered in time; it goes back to its sources')
      for (const office of this.#offices) office.stop()
      for (const { dispatcher } of this.#outbound.values()) dispatcher.stop()
      await endsWithin(this.#sources, farewellMs)
    }
    this.#stopSinks.abort()
    await endsWithin(this.#sinks, farewellMs)
    await this.#deadLetters.close()
  }

  #runOf(route: RouteConfig): RouteRun {
    const stats = new RouteStats(
      route.name,
      route.to.map((target) => new TargetStats(target.connection, target.protocol)),
    )
    const compiled = compileRoute(route, (name) => this.#protocol(name))
    stats.missingFields = () => compiled.misses.count
    const deadLetters = new DeadLetterOffice({
      route: route.name,
      target: route.deadLetter && this.#deadLetterTarget(route.deadLetter, route),
      store: this.#deadLetters,
      log: this.#log,
    })
    this.#offices.push(deadLetters)
    const outlets = route.to.map((target, index) => {
      const { dispatcher } = this.#outboundLink(target)
      const { order, retry } = route
      const parts = { order, retry, dispatcher, stats: stats.targets[index]!, deadLetters, log: this.#log }
      return new Outlet({ ...parts, id: `${route.name}/${index}`, addressOf: this.#addressOf(target) })
    })
    return new RouteRun({ compiled, stats, outlets, deadLetters, gatewayId: this.#config.gateway.id })
  }

  #deadLetterTarget(target: TargetConfig, route: RouteConfig): DeadLetterTarget {
    const protocolOf = (name: string) => this.#protocol(name)
    const compiled = compileTarget(target, scopeOf(route, protocolOf), protocolOf)
    const { dispatcher } = this.#outboundLink(target)
    this.#log.debug(`dead letters of route ${route.name} go to ${target.connection}`)
    return { dispatcher, outbound: (envelope, params) => compiled.outbound({ envelope, params }) }
  }

  #addressOf(target: TargetConfig): (settings: unknown) => string {
    const { sink } = this.#protocol(target.protocol)
    return (settings) => `${target.protocol}://${target.connection}/${sink?.address(settings) ?? ''}`
  }

  #outboundLink(target: TargetConfig): OutboundLink {
    const known = this.#outbound.get(target.connection)
    if (known !== undefined) return known
    const stats = this.#linkStats(target.connection, target.protocol, 'sink')
    const sink = this.#protocol(target.protocol).sink!.create(
      this.#config.connections.get(target.connection)!.settings,
      this.#context(stats),
    )
    let next = Promise.withResolvers<GatewayError>()
    const dispatcher = new Dispatcher(sink, (error) => next.resolve(error))
    const outage = () => {
      next = Promise.withResolvers()
      return next.promise
    }
    const link = { sink, dispatcher, stats, outage }
    this.#outbound.set(target.connection, link)
    return link
  }

  async #superviseSink({ sink, dispatcher, stats, outage }: OutboundLink): Promise<void> {
    const session = sinkSession(sink, dispatcher, outage)
    await supervise(sink, session, stats, this.#log, this.#stopSinks.signal).catch(this.#fatal.resolve)
  }

  /** Routes that share one source: the same connection, and what its protocol calls the same group. */
  #sourceGroups(): readonly (readonly RouteRun[])[] {
    const groups = Map.groupBy(this.#runs, ({ compiled: { route } }) => {
      const group = this.#protocol(route.from.protocol).source!.group(route.from.settings, this.#settingsOf(route))
      return `${route.from.connection}\0${group}`
    })
    return [...groups.values()]
  }

  async #superviseSource(runs: readonly RouteRun[]): Promise<void> {
    const routes = runs.map((run) => run.compiled.route)
    const { connection, protocol } = routes[0]!.from
    const stats = this.#linkStats(connection, protocol, 'source')
    const froms = routes.map((route) => route.from.settings)
    const { format } = routes[0]!.from // the same for all of a group: the configuration is refused otherwise
    const source = this.#protocol(protocol).source!.create(
      this.#settingsOf(routes[0]!),
      froms,
      this.#context(stats, format),
    )
    const runOf = new Map(runs.map((run) => [run.compiled, run]))
    const router = new Router([...runOf.keys()], (name) => this.#protocol(name))
    const session = sourceSession(source, intake(router, runOf, stats))
    await supervise(source, session, stats, this.#log, this.#stopSources.signal).catch(this.#fatal.resolve)
  }

  #linkStats(connection: string, protocol: string, role: 'source' | 'sink'): LinkStats {
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

async function endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>()
  const timer = setTimeout(() => resolve(false), ms)
  const isDone = await Promise.race([work.then(() => true as const), late])
  clearTimeout(timer)
  return isDone
}
