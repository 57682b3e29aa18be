import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client'
import { histogramMetric } from './histogram-metric.ts'
import type { ExchangeStats, LinkStats, RouteStats, TargetStats } from './stats.ts'
import type { GatewayStatus, StoreStatus } from './status.ts'

/** The values of a series' labels, and its own. Two samples with the same labels are added up. */
type Sample = readonly [...labels: string[], value: number]
type Samples = (status: GatewayStatus) => Iterable<Sample>
/** A name that ends in `_total` is a counter, any other a gauge. */
type Series = readonly [name: string, help: string, labels: readonly string[], samples: Samples]

/**
 * The gateway's counters as Prometheus text. They are read when somebody scrapes, so a message pays for an addition only.
 * No topic, device id or error text is a label.
 */
export function createMetrics(status: () => GatewayStatus): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const series of table) register(registry, series, status)
  registry.registerMetric(endToEnd(status))
  registry.registerMetric(delivery(status))
  return registry
}

const one =
  (value: (status: GatewayStatus) => number): Samples =>
  (status) => [[value(status)]]

const ofStore = (value: (store: StoreStatus) => number): Samples => one(({ store }) => value(store))

const ofSources = (value: (link: LinkStats) => number): Samples =>
  ofLinks((link) => (link.role === 'source' ? [[link.connection, link.protocol, value(link)]] : []))

const ofLinks = (samples: (link: LinkStats, labels: readonly [string, string, string]) => Iterable<Sample>): Samples =>
  function* ({ links }) {
    for (const link of links) yield* samples(link, [link.connection, link.protocol, link.role])
  }

const ofRoutes = (samples: (route: RouteStats) => Iterable<Sample>): Samples =>
  function* ({ routes }) {
    for (const route of routes) yield* samples(route)
  }

const ofEachRoute = (value: (route: RouteStats) => number): Samples => ofRoutes((route) => [[route.name, value(route)]])

const ofExchanges = (samples: (exchange: ExchangeStats, route: string) => Iterable<Sample>): Samples =>
  ofRoutes(({ name, exchange }) => (exchange === undefined ? [] : samples(exchange, name)))

const ofTargets = (samples: (target: TargetStats, route: string) => Iterable<Sample>): Samples =>
  ofRoutes(function* (route) {
    for (const target of route.targets) yield* samples(target, route.name)
  })

/** What an adapter counts as `<protocol>_refused_<reason>` is a refused connection. */
const refusalIn = (event: string): string[] => /^[a-z]+_refused_(\w+)$/.exec(event)?.slice(1) ?? []

const source = ['endpoint', 'protocol']
const link = [...source, 'role']

// biome-ignore format: a row for each series
const table: readonly Series[] = [
  ['trivium_build_info', 'The running version.', ['version', 'node'],
    ({ version }) => [[version, process.versions.node, 1]]],
  ['trivium_inflight_bytes', 'Bytes taken in and not yet settled.', [],
    one(({ inFlight }) => inFlight.bytes)],
  ['trivium_admin_refused_total', 'Requests that the admin server refused: a wrong token, a page of another site, a foreign host name.', ['reason'],
    ({ adminRefused }) => adminRefused ?? []],

  ['trivium_journal_messages', 'Messages that wait in the store.', [],
    ofStore((store) => store.waiting)],
  ['trivium_journal_bytes', 'Bytes of the messages that wait in the store.', [],
    ofStore((store) => store.waitingBytes)],
  ['trivium_journal_file_bytes', 'Bytes of the store on disk.', [],
    ofStore((store) => store.fileBytes)],
  ['trivium_journal_full', '1 while sources are held back as the store is full.', [],
    ofStore((store) => (store.fullBecause === undefined ? 0 : 1))],
  ['trivium_journal_oldest_age_seconds', 'How long the oldest message in the store waits.', [],
    ofStore(({ oldestAt }) => (oldestAt === undefined ? 0 : Math.max(0, Date.now() - oldestAt) / 1_000))],
  ['trivium_journal_commits_total', 'Transactions committed, each with an fsync.', [],
    ofStore((store) => store.commits)],
  ['trivium_journal_reads_total', 'Reads of messages back from the store; targets that keep up cause none.', [],
    ofStore((store) => store.reads)],
  ['trivium_dlq_messages', 'Dead letters kept in the store.', ['route'],
    ({ store }) => store.deadLetters],
  ['trivium_dlq_bytes', 'Bytes of the dead letters in the store.', [],
    ofStore((store) => store.deadLetterFigures.bytes)],
  ['trivium_dlq_max_bytes', 'Most bytes they may take up.', [],
    ofStore((store) => store.deadLetterFigures.maxBytes)],
  ['trivium_dlq_held', 'Dead letters that wait for room, and hold back their sources.', [],
    ofStore((store) => store.deadLetterFigures.held)],
  ['trivium_dlq_dropped_total', 'Dead letters deleted: for want of room (full), or as they were too old (max_age).', ['reason'],
    ({ store: { deadLetterFigures: { dropped, expired } } }) => [['full', dropped], ['max_age', expired]]],

  ['trivium_messages_received_total', 'Messages received from a source.', source,
    ofSources(({ received }) => received)],
  ['trivium_messages_settled_total', 'Messages given back to their source, settled.', source,
    ofSources(({ settled }) => settled)],
  ['trivium_messages_unmatched_total', 'Messages that no route wanted.', source,
    ofSources(({ unmatched }) => unmatched)],
  ['trivium_endpoint_up', '1 while connected.', link,
    ofLinks(({ state }, labels) => [[...labels, state === 'up' ? 1 : 0]])],
  ['trivium_endpoint_reconnects_total', 'Times a connection was made anew.', link,
    ofLinks(({ reconnects }, labels) => [[...labels, reconnects]])],
  ['trivium_endpoint_connections_refused_total', 'Connections of devices that were refused, by reason.', [...link, 'reason'],
    ofLinks(function* ({ extra }, labels) {
      for (const [event, count] of extra) for (const reason of refusalIn(event)) yield [...labels, reason, count]
    })],
  ['trivium_endpoint_events_total', 'What the adapter counts by itself.', [...link, 'event'],
    ofLinks(({ extra }, labels) => [...extra].map(([event, count]) => [...labels, event, count] as const))],

  ['trivium_messages_matched_total', 'Messages taken by a route.', ['route'],
    ofEachRoute(({ matched }) => matched)],
  ['trivium_messages_routed_total', 'Messages a route is done with, by what became of them.', ['route', 'result'],
    ofRoutes(({ name, delivered, filtered, deadLetteredTotal, released, duplicates }) => [
      [name, 'delivered', delivered],
      [name, 'filtered', filtered],
      [name, 'dead_lettered', deadLetteredTotal],
      [name, 'released', released],
      [name, 'duplicate', duplicates],
    ])],
  ['trivium_inflight_messages', 'Messages a route has not finished.', ['route'],
    ofEachRoute(({ inFlight }) => inFlight)],
  ['trivium_route_waiting_messages', 'Messages of a route that are safe in the store and wait for their targets.', ['route'],
    ofEachRoute(({ waiting }) => waiting)],
  ['trivium_messages_restored_total', 'Messages a route found in the store at the start, or that came back from the dead letters.', ['route'],
    ofEachRoute(({ restored }) => restored)],
  ['trivium_messages_dropped_total', 'Messages a route let go on purpose.', ['route', 'reason'],
    ofRoutes(({ name, filtered, duplicates }) => [[name, 'filtered', filtered], [name, 'duplicate', duplicates]])],
  ['trivium_messages_dead_lettered_total', 'Messages that ended as dead letters.', ['route', 'reason'],
    ofRoutes(({ name, deadLettered }) => [...deadLettered].map(([reason, count]) => [name, reason, count] as const))],
  ['trivium_rule_missing_fields_total', 'Conditions and filters that met a field that was not there, or of another kind, and went by that.', ['route'],
    ofEachRoute((route) => route.missingFields())],
  ['trivium_requests_outstanding', 'Requests that wait for a reply, or whose answer is on its way.', ['route'],
    ofExchanges(({ outstanding }, route) => [[route, outstanding]])],
  ['trivium_requests_timed_out_total', 'Requests that no reply came to in time.', ['route'],
    ofExchanges(({ timedOut }, route) => [[route, timedOut]])],
  ['trivium_requests_refused_total', 'Requests turned away or held back, as too many were outstanding.', ['route'],
    ofExchanges(({ refused }, route) => [[route, refused]])],
  ['trivium_replies_total', 'Replies by what became of them: returned to their asker, late, or of an unknown request.', ['route', 'result'],
    ofExchanges(({ returned, late, unknown }, route) => [
      [route, 'returned', returned],
      [route, 'late', late],
      [route, 'unknown', unknown],
    ])],
  ['trivium_messages_delivered_total', 'Messages confirmed by a target.', ['route', 'endpoint', 'protocol'],
    ofTargets(({ connection, protocol, delivered }, route) => [[route, connection, protocol, delivered]])],
  ['trivium_target_blocked', 'Destinations of a target that take nothing for now while it is up, such as a missing topic; at most 20 are counted.', ['route', 'endpoint'],
    ofTargets(({ connection, blocked }, route) => [[route, connection, blocked.size]])],
  ['trivium_delivery_attempts_total', 'Sends by outcome.', ['route', 'endpoint', 'outcome'],
    ofTargets(({ connection, attemptsOk, attemptsRetry, attemptsFail }, route) => [
      [route, connection, 'ok', attemptsOk],
      [route, connection, 'retry', attemptsRetry],
      [route, connection, 'fail', attemptsFail],
    ])],
]

function register(registry: Registry, [name, help, labelNames, samples]: Series, status: () => GatewayStatus): void {
  const Kind = name.endsWith('_total') ? Counter : Gauge
  const metric = new Kind({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect() {
      metric.reset()
      for (const sample of samples(status())) {
        const labels = labelNames.map((label, index) => [label, sample[index]])
        metric.inc(Object.fromEntries(labels), sample.at(-1) as number)
      }
    },
  })
}

const endToEnd = (status: () => GatewayStatus): Metric =>
  histogramMetric('trivium_end_to_end_duration_seconds', 'From receipt until every target confirmed.', () =>
    status().routes.map(({ name, duration }) => [{ route: name }, duration]),
  )

const delivery = (status: () => GatewayStatus): Metric =>
  histogramMetric('trivium_delivery_duration_seconds', 'From receipt until one target confirmed.', () =>
    status().routes.flatMap(({ name, targets }) =>
      targets.map(({ connection, duration }, index) => [
        { route: name, endpoint: connection, target: String(index) },
        duration,
      ]),
    ),
  )
