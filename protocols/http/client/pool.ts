/** Connections to servers, by undici: kept alive, so many to each, certificates as they are now. */
import type { LookupFunction } from 'node:net'
import type { Agent, buildConnector } from 'undici'
import type { Context } from '../../../src/adapter/contract.ts'
import { once } from '../../../src/adapter/once.ts'
import { clientTlsOptions } from '../../../src/adapter/tls-files.ts'
import type { HttpClientConnection } from '../target.ts'
import { publicLookup, type Resolve } from './addresses.ts'
import { type Answer, Exchange, type Request } from './exchange.ts'

const undici = once(() => import('undici'))

/** A connection that nobody uses is closed after that; servers that say so have it shorter. Milliseconds. */
const idleMs = 4_000
/** Of the timeout that a request has anyway. */
const connectMs = 10_000

/** One generation of connections. */
export class Pool {
  readonly #agent: Agent
  /** For hosts that messages choose: to public addresses only. */
  readonly #guarded: Agent

  private constructor(agent: Agent, guarded: Agent) {
    this.#agent = agent
    this.#guarded = guarded
  }

  /** Throws PermanentError where the certificate files cannot be used. */
  static async open({ tls, maxConcurrent }: HttpClientConnection, { log }: Context, resolve: Resolve): Promise<Pool> {
    const { Agent, buildConnector } = await undici()
    const tlsOptions = () => clientTlsOptions(tls, log)
    tlsOptions()
    const agent = (lookup?: LookupFunction) =>
      new Agent({
        connections: maxConcurrent,
        keepAliveTimeout: idleMs,
        headersTimeout: 0, // a request has a deadline of its own, for all of it
        bodyTimeout: 0,
        connect: connector(buildConnector, tlsOptions, lookup),
      })
    return new Pool(agent(), agent(publicLookup(resolve)))
  }

  /** Never rejects before the request's deadline; an error of undici, the system or the guard as it is, or PEER_TIMEOUT. */
  exchange(request: Request, signal: AbortSignal): Promise<Answer> {
    return new Exchange(request).run(request.isGuarded ? this.#guarded : this.#agent, signal)
  }

  async close(): Promise<void> {
    await Promise.all([this.#agent.destroy(), this.#guarded.destroy()])
  }
}

type TlsOptions = ReturnType<typeof clientTlsOptions>

/** Keeps the TLS sessions of a server as long as the certificates are the same. */
function connector(
  build: typeof buildConnector,
  tlsOptions: () => TlsOptions,
  lookup: LookupFunction | undefined,
): buildConnector.connector {
  let stamp: unknown[] = []
  let current: buildConnector.connector | undefined
  return (options, callback) => {
    try {
      const now = tlsOptions()
      const material = Object.values(now).flat()
      if (current === undefined || material.some((part, at) => part !== stamp[at])) {
        current = build({ rejectUnauthorized: true, ...now, timeout: connectMs, ...(lookup && { lookup }) })
        stamp = material
      }
      current(options, callback)
    } catch (error) {
      callback(error as Error, null)
    }
  }
}
