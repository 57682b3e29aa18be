/**
 * Whoever keeps bytes longer than the turn of the event loop they came in keeps a copy of them: a view of 300 bytes holds
 * the whole chunk that was read from a socket, or the whole batch, and no budget knows.
 */

/** Memory beside its own that a view may hold: a copy would cost as much. */
const slackBytes = 256

/** `bytes` where they have their memory all but to themselves, else a copy in memory of its own size. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  const { byteLength, buffer } = bytes
  if (buffer.byteLength - byteLength <= slackBytes + byteLength / 8) return bytes
  const own = Buffer.allocUnsafeSlow(byteLength) // not from Node's pool, where one small buffer holds 64 KiB
  own.set(bytes)
  return own
}
