/**
 * What waits in a socket until its device reads. A message is five writes, and each costs far more than the few bytes it
 * may have; the payload is one for all subscribers.
 */
import type { Duplex } from 'node:stream'

/** Above the bytes of a kept session's queue, which is written at once when its device is back. */
const maxBytes = 8 * 1024 ** 2
/** A message of 20 bytes was measured at 1,000 to 1,800 bytes of memory. */
const writeBytes = 256
const maxOverheadOfOne = 32 * 1024 ** 2
const maxOverheadOfAll = 128 * 1024 ** 2

/** True where a device has let so much pile up that it is to be cut off. */
export function isTooSlow(conn: Duplex, maxPacketBytes: number): boolean {
  return conn.writableLength > maxBytes + maxPacketBytes || overheadOf(conn) > maxOverheadOfOne
}

/** Of all devices those with the longest backlogs, without which the rest is bearable. */
export function slowest<T extends { readonly conn: Duplex }>(devices: Iterable<T>): readonly T[] {
  const late = [...devices]
    .map((device) => ({ device, overhead: overheadOf(device.conn) }))
    .filter(({ overhead }) => overhead > 0)
    .sort((a, b) => b.overhead - a.overhead)
  let left = late.reduce((sum, { overhead }) => sum + overhead, 0)
  const cut: T[] = []
  for (const { device, overhead } of late) {
    if (left <= maxOverheadOfAll) break
    left -= overhead
    cut.push(device)
  }
  return cut
}

function overheadOf(conn: Duplex): number {
  const { _writableState: state } = conn as unknown as {
    readonly _writableState?: { readonly bufferedRequestCount?: number }
  }
  return (state?.bufferedRequestCount ?? 0) * writeBytes
}
