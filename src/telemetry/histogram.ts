/** OpenTelemetry's messaging buckets, in seconds. */
export const bucketsSecs = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] as const

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
