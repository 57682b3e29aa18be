/** What devices can provoke: told now and then, as anybody on the network could fill the log, and most of it counted. */
import type { Context } from '../../../src/adapter/contract.ts'
import { messageOf } from '../../../src/errors.ts'
import { type NoSeat, openFiles } from './admission/seats.ts'
import { brief, seldom } from './admission/seldom.ts'
import type { Device } from './device.ts'
import type { Client } from './driver.ts'

export class Notices {
  readonly #count: Context['count']
  readonly #log: Context['log']
  readonly #takenOver: Seldom
  readonly #brokerError: Seldom
  readonly #warn: Readonly<
    Record<'refused' | 'denied' | 'noSeat' | 'foreign' | 'slow' | 'dropped' | 'misbehaved', Seldom>
  >

  constructor(context: Context) {
    const { log } = context
    this.#count = (name) => context.count(name)
    this.#log = log
    this.#takenOver = seldom(log, 'another connection with the same client id took a device over', 'info')
    this.#brokerError = seldom(log, 'the embedded broker met an error', 'error')
    this.#warn = {
      refused: seldom(log, 'a device was refused'),
      denied: seldom(log, 'a device asked for a topic it may not use'),
      noSeat: seldom(log, 'a connection was refused: there are too many'),
      foreign: seldom(log, 'a page in a browser was refused: name its origin in `origins` to let it in'),
      slow: seldom(log, 'a device that does not read its messages was disconnected'),
      dropped: seldom(log, 'a message was not kept for a device: the bound for kept messages is reached'),
      misbehaved: seldom(log, 'a device was disconnected for what it sent'),
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

  noSeat(reason: NoSeat, address: string): void {
    this.#count(`mqtt_refused_${reason}`)
    this.#warn.noSeat({ reason: seatReasons[reason], address })
  }

  foreign(origin: string, address: string): void {
    this.#count('mqtt_refused_origin')
    this.#warn.foreign({ origin: brief(origin), address })
  }

  /** Usual for a device that is back before its earlier connection was found dead. */
  takenOver({ clientId, address, rights }: Device, earlier: Device): void {
    this.#count('mqtt_taken_over')
    const fields = { clientId: brief(clientId), address, earlierAddress: earlier.address, username: rights.username }
    this.#takenOver(fields)
  }

  /** At the start: the process may not open as many files as there may be connections. */
  crowded(maxConnections: number): void {
    const { limit, sockets } = openFiles()
    if (maxConnections <= sockets) return
    const text =
      'maxConnections is above what the limit of open files allows: raise it (ulimit -n, LimitNOFILE), or lower maxConnections'
    this.#log.warn(text, { maxConnections, possible: sockets, openFiles: limit })
  }

  /** Of the broker's own: what devices send may bring about any number of them. */
  brokerError(error: unknown): void {
    this.#brokerError({ error: messageOf(error) })
  }

  slow({ id }: Pick<Client, 'id'>): void {
    this.#count('mqtt_slow_disconnects')
    this.#warn.slow({ clientId: brief(id) })
  }

  dropped(what: 'queued' | 'retained' | 'qos0'): void {
    this.#count(`mqtt_${what}_dropped`)
    this.#warn.dropped({ what })
  }

  /** Told by what looks at packets before the broker does. */
  misbehaved({ address, clientId }: Device, problem: string): void {
    this.#warn.misbehaved({ problem, address, clientId: brief(clientId) })
  }

  disconnected(client: Client, error: Error): void {
    this.#log.debug('a device was disconnected', { clientId: brief(client.id), error: messageOf(error) })
  }
}

const seatReasons: Readonly<Record<NoSeat, string>> = {
  connections: 'maxConnections is reached',
  address: 'maxConnectionsPerAddress is reached',
  files: 'the limit of open files is near',
}

type Seldom = ReturnType<typeof seldom>
