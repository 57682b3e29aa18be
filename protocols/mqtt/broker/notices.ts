/** What devices can provoke: told now and then, as anybody on the network could fill the log, and most of it counted. */
import type { Context } from '../../../src/adapter/contract.ts'
import { messageOf } from '../../../src/errors.ts'
import type { Device } from './device.ts'
import type { Client } from './driver.ts'
import { brief, seldom } from './seldom.ts'

export class Notices {
  readonly #count: Context['count']
  readonly #log: Context['log']
  readonly #warn: Readonly<Record<'refused' | 'denied' | 'tooMany' | 'slow' | 'dropped' | 'gate', Seldom>>

  constructor(context: Context) {
    const { log } = context
    this.#count = (name) => context.count(name)
    this.#log = log
    this.#warn = {
      refused: seldom(log, 'A device was refused.'),
      denied: seldom(log, 'A device asked for a topic it may not use.'),
      tooMany: seldom(log, 'A connection was refused: there are too many.'),
      slow: seldom(log, 'A device that does not read its messages was disconnected.'),
      dropped: seldom(log, 'A message was not kept for a device: the bound for kept messages is reached.'),
      gate: seldom(log, 'A device was disconnected for what it sent.'),
    }
  }

  /** At its CONNECT. */
  refused({ address, clientId }: Device, reason: string): void {
    this.#count('mqtt_refused_logins')
    this.#warn.refused({ reason, address, clientId: brief(clientId) })
  }

  /** `client`: null for a will. */
  denied(client: Client | null, topic: string, problem: string): void {
    this.#count('mqtt_denied')
    this.#warn.denied({ topic: brief(topic), clientId: brief(client?.id), problem })
  }

  tooMany(maxConnections: number): void {
    this.#count('mqtt_refused_connections')
    this.#warn.tooMany({ maxConnections })
  }

  slow(client: Client): void {
    this.#count('mqtt_slow_disconnects')
    this.#warn.slow({ clientId: brief(client.id) })
  }

  dropped(what: 'queued' | 'retained'): void {
    this.#count(`mqtt_${what}_dropped`)
    this.#warn.dropped({ what })
  }

  /** By the gate, which looks at what comes before the broker does. */
  misbehaved({ address, clientId }: Device, problem: string): void {
    this.#warn.gate({ problem, address, clientId: brief(clientId) })
  }

  disconnected(client: Client, error: Error): void {
    this.#log.debug('A device was disconnected.', { clientId: brief(client.id), error: messageOf(error) })
  }
}

type Seldom = ReturnType<typeof seldom>
