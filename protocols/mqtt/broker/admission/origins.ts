/** Which pages of a browser may open a websocket: a browser sends what a user has, whatever page asks it to. Pure. */
import { isIP } from 'node:net'
import { isLoopback } from '../../../../src/adapter/loopback.ts'

export interface Handshake {
  /** Undefined: no browser. */
  readonly origin: string | undefined
  /** The Host header. */
  readonly host: string | undefined
}

/**
 * True for anything but a browser, and for a page whose origin is named, or comes from the same host. `isLocal`: only this
 * machine can reach the listener; a page that had its own name resolve to 127.0.0.1 (DNS rebinding) is refused there.
 */
export function mayOpen(
  { origin, host }: Handshake,
  origins: readonly string[] | undefined,
  isLocal: boolean,
): boolean {
  if (origin === undefined) return true
  if (origins !== undefined)
    return origins.includes('*') || origins.some((named) => originOf(named) === originOf(origin))
  const [page, own] = [hostOf(origin), hostOf(`http://${host ?? ''}`)]
  if (page === undefined || own === undefined) return false
  if (isLocal && !isLoopback(own) && isIP(own) === 0) return false
  return page === own || (isLoopback(page) && isLoopback(own))
}

/** `scheme://host:port` as browsers write it; undefined where the text is none. */
export function originOf(text: string): string | undefined {
  const url = URL.parse(text)
  return url === null || url.origin === 'null' ? undefined : url.origin
}

function hostOf(text: string): string | undefined {
  const host = URL.parse(text)?.hostname.replace(/^\[(.*)\]$/, '$1')
  return host === '' ? undefined : host
}
