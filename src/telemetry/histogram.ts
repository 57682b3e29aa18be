import type { Metric } from 'prom-client'

/** OpenTelemetry's messaging buckets, in seconds. */
const bucketsSecs = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] as const

/** A histogram cheap enough for every message: prom-client's own hashes its labels at each observation. */
export class Histogram {
  /** Observations per bucket, not cumulative; the last one is everything slower. */
  readonly counts: number[] = new Array(bucketsSecs.length + 1).fill(0)
  sumSecs = 0
  count = 0

  observeMs(ms: number, times = 1): void {
    const secs = ms / 1000
    let bucket = 0
    while (bucket < bucketsSecs.length && secs > bucketsSecs[bucket]!) bucket += 1
    this.counts[bucket]! += times
    this.sumSecs += secs * times
    this.count += times
  }
}

type Labels = Readonly<Record<string, string>>

/** prom-client's Histogram takes observations only; ours are counted already, so its text is made from the counts. */
export function histogramMetric(
  name: string,
  help: string,
  series: () => Iterable<readonly [Labels, Histogram]>,
): Metric {
  const values = () => [...series()].flatMap(([labels, histogram]) => valuesOf(name, labels, histogram))
  const about = { name, help, type: 'histogram', aggregator: 'sum' }
  const metric = { ...about, get: () => ({ ...about, values: values() }), reset: () => {} }
  return metric as unknown as Metric
}

function valuesOf(name: string, labels: Labels, { counts, sumSecs, count }: Histogram) {
  let cumulative = 0
  const buckets = counts.map((inBucket, index) => {
    cumulative += inBucket
    return { labels: { ...labels, le: bucketsSecs[index] ?? '+Inf' }, value: cumulative, metricName: `${name}_bucket` }
  })
  const sum = { labels, value: sumSecs, metricName: `${name}_sum` }
  return [...buckets, sum, { labels, value: count, metricName: `${name}_count` }]
}
