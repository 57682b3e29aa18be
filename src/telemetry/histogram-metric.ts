import type { Metric } from 'prom-client'
import { bucketsSecs, type Histogram } from './histogram.ts'

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
