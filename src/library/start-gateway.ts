import type { Log } from '../adapter/contract.ts'
import type { GatewayConfig } from '../config/schema/types.ts'
import { PermanentError } from '../errors.ts'
import { Gateway } from '../gateway.ts'
import type { GatewayStatus } from '../telemetry/status.ts'
import { type Publication, Publishing } from './publishing.ts'
import { whenReady } from './when-ready.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** A gateway inside this program. */
export interface RunningGateway {
  /** What it is doing now: connections, counters of the routes, the store. The counters go on counting in what is returned. */
  status(): GatewayStatus
  /** Resolves when it takes in messages: `/readyz` would answer 200. Rejects when it cannot go on, with the reason, or when `signal` aborts. */
  ready(signal?: AbortSignal): Promise<void>
  /** Resolves with the reason when it cannot go on, such as a port that is taken or a disk that fails; otherwise never. Stop it then. */
  readonly failed: Promise<unknown>
  /**
   * Sends a message through a connection, as `trivium publish` does, and resolves when the broker has confirmed it. Rejects
   * with a RetryableError (the same may succeed later) or a PermanentError.
   */
  publish(message: Publication): Promise<void>
  /** Sources stop, what is in flight is delivered (at most `gateway.drain` long), the rest stays in the store or at its source. */
  stop(): Promise<void>
}

/**
 * Runs a gateway inside this program. It starts no admin server, handles no signals, and never ends the process: those are the command's.
 * One gateway has a data directory to itself. Throws a PermanentError where the store cannot be opened: STORE_IN_USE, STORE_DAMAGED, STORE_FAILED.
 */
export function startGateway(config: GatewayConfig, { log = silent }: { readonly log?: Log } = {}): RunningGateway {
  const gateway = new Gateway(config, config.protocols, log)
  const publishing = new Publishing(config, log)
  let isStopped = false
  gateway.start()
  return {
    status: () => gateway.status(),
    ready: (signal) => whenReady(gateway, signal),
    failed: gateway.fatal,
    publish: async (message) => {
      if (isStopped) throw new PermanentError('USAGE', 'this gateway was stopped')
      await publishing.send(message)
    },
    stop: async () => {
      isStopped = true
      await publishing.close()
      await gateway.stop()
    },
  }
}
