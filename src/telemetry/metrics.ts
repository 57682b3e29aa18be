import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client'
import { bucketsSecs, type Histogram } from './histogram.ts'
import type { LinkStats, RouteStats } from './stats.ts'
import type { GatewayStatus } from './status.ts'

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]

/**
 * The gateway's counters as Prometheus text. They are read when somebody scrapes, so a message pays for an addition only.
 * No topic, device id or error text is a label.
 */
export function createMetrics(status: () => GatewayStatus): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const series = new Series(registry, status)
  describeBuild(series)
  describeStore(series)
  describeLinks(series)
  describeRoutes(series)
  describeDurations(registry, status)
  return registry
}

class Series {
  readonly #registry: Registry
  readonly #status: () => GatewayStatus

  constructor(registry: Registry, status: () => GatewayStatus) {
    this.#registry = registry
    this.#status = status
  }

  counter(name: string, help: string, labelNames: string[], samples: (status: GatewayStatus) => Iterable<Sample>) {
    this.#add(Counter, name, help, labelNames, samples)
  }

  gauge(name: string, help: string, labelNames: string[], samples: (status: GatewayStatus) => Iterable<Sample>) {
    this.#add(Gauge, name, help, labelNames, samples)
  }

  #add(
    Kind: typeof Counter | typeof Gauge,
    name: string,
    help: string,
    labelNames: string[],
    samples: (status: GatewayStatus) => Iterable<Sample>,
  ): void {
    const status = this.#status
    const metric = new Kind({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        metric.reset()
        for (const [labels, value] of samples(status())) metric.inc(labels, value)
      },
    })
  }
}

const overLinks = (samples: (link: LinkStats) => Iterable<Sample>) =>
  function* (status: GatewayStatus): Generator<Sample> {
    for (const link of status.links) yield* samples(link)
  }

const overRoutes = (samples: (route: RouteStats) => Iterable<Sample>) =>
  function* (status: GatewayStatus): Generator<Sample> {
    for (const route of status.routes) yield* samples(route)
  }

/** What an adapter counts as `<protocol>_refused_<reason>` is a refused connection. */
const refusal = /^[a-z]+_refused_(\w+)$/

const linkLabels = ({ connection, protocol, role }: LinkStats): Labels => ({ endpoint: connection, protocol, role })

function describeBuild(series: Series): void {
  series.gauge('trivium_build_info', 'The running version.', ['version', 'node'], ({ version }) => [
    [{ version, node: process.versions.node }, 1],
  ])
  series.gauge('trivium_inflight_bytes', 'Bytes taken in and not yet settled.', [], ({ inFlight }) => [
    [{}, inFlight.bytes],
  ])
  series.counter(
    'trivium_admin_refused_total',
    'Requests that the admin server refused: a wrong token, a page of another site, a foreign host name.',
    ['reason'],
    ({ adminRefused = new Map() }) => [...adminRefused].map(([reason, count]): Sample => [{ reason }, count]),
  )
}

function describeStore(series: Series): void {
  series.gauge('trivium_journal_messages', 'Messages that wait in the store.', [], ({ store }) => [[{}, store.waiting]])
  series.gauge('trivium_journal_bytes', 'Bytes of the messages that wait in the store.', [], ({ store }) => [
    [{}, store.waitingBytes],
  ])
  series.gauge('trivium_journal_file_bytes', 'Bytes of the store on disk.', [], ({ store }) => [[{}, store.fileBytes]])
  series.gauge('trivium_journal_full', '1 while sources are held back as the store is full.', [], ({ store }) => [
    [{}, store.fullBecause === undefined ? 0 : 1],
  ])
  series.gauge(
    'trivium_journal_oldest_age_seconds',
    'How long the oldest message in the store waits.',
    [],
    ({ store }) => [[{}, store.oldestAt === undefined ? 0 : Math.max(0, Date.now() - store.oldestAt) / 1_000]],
  )
  series.counter('trivium_journal_commits_total', 'Transactions committed, each with an fsync.', [], ({ store }) => [
    [{}, store.commits],
  ])
  series.gauge('trivium_dlq_messages', 'Dead letters kept in the store.', ['route'], ({ store }) =>
    [...store.deadLetters].map(([route, count]): Sample => [{ route }, count]),
  )
  const letters = (name: 'bytes' | 'maxBytes' | 'held') => (status: GatewayStatus) =>
    [[{}, status.store.deadLetterFigures[name]]] satisfies Sample[]
  series.gauge('trivium_dlq_bytes', 'Bytes of the dead letters in the store.', [], letters('bytes'))
  series.gauge('trivium_dlq_max_bytes', 'Most bytes they may take up.', [], letters('maxBytes'))
  series.gauge('trivium_dlq_held', 'Dead letters that wait for room, and hold back their sources.', [], letters('held'))
  series.counter(
    'trivium_dlq_dropped_total',
    'Dead letters deleted: for want of room (full), or as they were too old (max_age).',
    ['reason'],
    ({ store: { deadLetterFigures } }) => [
      [{ reason: 'full' }, deadLetterFigures.dropped],
      [{ reason: 'max_age' }, deadLetterFigures.expired],
    ],
  )
}

function describeLinks(series: Series): void {
  const endpoint = ['endpoint', 'protocol']
  const sources = (value: (link: LinkStats) => number) =>
    overLinks((link) =>
      link.role === 'source' ? [[{ endpoint: link.connection, protocol: link.protocol }, value(link)]] : [],
    )
  series.counter(
    'trivium_messages_received_total',
    'Messages received from a source.',
    endpoint,
    sources((l) => l.received),
  )
  series.counter(
    'trivium_messages_settled_total',
    'Messages given back to their source, settled.',
    endpoint,
    sources((l) => l.settled),
  )
  series.counter(
    'trivium_messages_unmatched_total',
    'Messages that no route wanted.',
    endpoint,
    sources((l) => l.unmatched),
  )
  const roles = [...endpoint, 'role']
  series.gauge(
    'trivium_endpoint_up',
    '1 while connected.',
    roles,
    overLinks((l) => [[linkLabels(l), l.state === 'up' ? 1 : 0]]),
  )
  series.counter(
    'trivium_endpoint_reconnects_total',
    'Times a connection was made anew.',
    roles,
    overLinks((l) => [[linkLabels(l), l.reconnects]]),
  )
  series.counter(
    'trivium_endpoint_connections_refused_total',
    'Connections of devices that were refused, by reason.',
    [...roles, 'reason'],
    overLinks(function* (link) {
      for (const [event, count] of link.extra) {
        const reason = refusal.exec(event)?.[1]
        if (reason !== undefined) yield [{ ...linkLabels(link), reason }, count]
      }
    }),
  )
  series.counter(
    'trivium_endpoint_events_total',
    'What the adapter counts by itself.',
    [...roles, 'event'],
    overLinks(function* (link) {
      for (const [event, count] of link.extra) yield [{ ...linkLabels(link), event }, count]
    }),
  )
}

function describeRoutes(series: Series): void {
  series.counter(
    'trivium_messages_matched_total',
    'Messages taken by a route.',
    ['route'],
    overRoutes((r) => [[{ route: r.name }, r.matched]]),
  )
  series.counter(
    'trivium_messages_routed_total',
    'Messages a route is done with, by what became of them.',
    ['route', 'result'],
    overRoutes((r) => [
      [{ route: r.name, result: 'delivered' }, r.delivered],
      [{ route: r.name, result: 'filtered' }, r.filtered],
      [{ route: r.name, result: 'dead_lettered' }, r.deadLetteredTotal],
      [{ route: r.name, result: 'released' }, r.released],
      [{ route: r.name, result: 'duplicate' }, r.duplicates],
    ]),
  )
  series.gauge(
    'trivium_inflight_messages',
    'Messages a route has not finished.',
    ['route'],
    overRoutes((r) => [[{ route: r.name }, r.inFlight]]),
  )
  series.gauge(
    'trivium_route_waiting_messages',
    'Messages of a route that are safe in the store and wait for their targets.',
    ['route'],
    overRoutes((r) => [[{ route: r.name }, r.waiting]]),
  )
  series.counter(
    'trivium_messages_restored_total',
    'Messages a route found in the store at the start, or that came back from the dead letters.',
    ['route'],
    overRoutes((r) => [[{ route: r.name }, r.restored]]),
  )
  series.counter(
    'trivium_messages_dropped_total',
    'Messages a route let go on purpose.',
    ['route', 'reason'],
    overRoutes((r) => [
      [{ route: r.name, reason: 'filtered' }, r.filtered],
      [{ route: r.name, reason: 'duplicate' }, r.duplicates],
    ]),
  )
  series.counter(
    'trivium_messages_dead_lettered_total',
    'Messages that ended as dead letters.',
    ['route', 'reason'],
    overRoutes(function* (route) {
      for (const [reason, count] of route.deadLettered) yield [{ route: route.name, reason }, count]
    }),
  )
  series.counter(
    'trivium_rule_missing_fields_total',
    'Conditions and filters that met a field that was not there, or of another kind, and went by that.',
    ['route'],
    overRoutes((r) => [[{ route: r.name }, r.missingFields()]]),
  )
  series.counter(
    'trivium_messages_delivered_total',
    'Messages confirmed by a target.',
    ['route', 'endpoint', 'protocol'],
    overRoutes(function* (route) {
      yield* summed(route, (target) => [
        [{ route: route.name, endpoint: target.connection, protocol: target.protocol }, target.delivered],
      ])
    }),
  )
  series.gauge(
    'trivium_target_blocked',
    'Destinations of a target that take nothing for now while it is up, such as a missing topic; at most 20 are counted.',
    ['route', 'endpoint'],
    overRoutes(function* (route) {
      yield* summed(route, (target) => [[{ route: route.name, endpoint: target.connection }, target.blocked.size]])
    }),
  )
  series.counter(
    'trivium_delivery_attempts_total',
    'Sends by outcome.',
    ['route', 'endpoint', 'outcome'],
    overRoutes(function* (route) {
      const labels = (target: { connection: string }, outcome: string) => ({
        route: route.name,
        endpoint: target.connection,
        outcome,
      })
      yield* summed(route, (target) => [
        [labels(target, 'ok'), target.attemptsOk],
        [labels(target, 'retry'), target.attemptsRetry],
        [labels(target, 'fail'), target.attemptsFail],
      ])
    }),
  )
}

/** Two targets of one route on one endpoint are one series: `inc` adds them up. */
function* summed(
  route: RouteStats,
  samples: (target: RouteStats['targets'][number]) => Iterable<Sample>,
): Generator<Sample> {
  for (const target of route.targets) yield* samples(target)
}

/** prom-client's Histogram takes observations only; ours are counted already, so the text is made from the counts. */
function describeDurations(registry: Registry, status: () => GatewayStatus): void {
  registry.registerMetric(
    durations('trivium_end_to_end_duration_seconds', 'From receipt until every target confirmed.', function* () {
      for (const route of status().routes) yield [{ route: route.name }, route.duration]
    }),
  )
  registry.registerMetric(
    durations('trivium_delivery_duration_seconds', 'From receipt until one target confirmed.', function* () {
      for (const route of status().routes) {
        for (const [index, target] of route.targets.entries()) {
          yield [{ route: route.name, endpoint: target.connection, target: String(index) }, target.duration]
        }
      }
    }),
  )
}

function durations(name: string, help: string, series: () => Iterable<readonly [Labels, Histogram]>): Metric {
  const values = () => {
    const all: { labels: Record<string, string | number>; value: number; metricName: string }[] = []
    for (const [labels, histogram] of series()) {
      let cumulative = 0
      for (const [index, count] of histogram.counts.entries()) {
        cumulative += count
        all.push({
          labels: { ...labels, le: bucketsSecs[index] ?? '+Inf' },
          value: cumulative,
          metricName: `${name}_bucket`,
        })
      }
      all.push({ labels: { ...labels }, value: histogram.sumSecs, metricName: `${name}_sum` })
      all.push({ labels: { ...labels }, value: histogram.count, metricName: `${name}_count` })
    }
    return all
  }
  const metric = {
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    get: () => ({ name, help, type: 'histogram', values: values(), aggregator: 'sum' }),
    reset: () => {},
  }
  return metric as unknown as Metric
}
