/** What connected devices subscribe to: whether they may, and how much memory that takes of their users' shares. */
import { subscribeProblem } from './admission/rules.ts'
import type { Limits } from './config.ts'
import type { Device } from './device.ts'
import type { Client, Subscription } from './driver.ts'
import { filterCost } from './filter.ts'
import type { Notices } from './notices.ts'
import { sessionBounds } from './sessions/sessions.ts'
import { Shares } from './sessions/shares.ts'

export class Subscriptions {
  readonly #limits: Limits
  readonly #notices: Notices
  readonly #hasRoomToKeep: (username: string | undefined, filter: string) => boolean
  readonly #filters = new Shares(sessionBounds.subscriptions)

  /** `hasRoomToKeep`: for one more filter among those of kept sessions. */
  constructor(
    limits: Limits,
    notices: Notices,
    hasRoomToKeep: (username: string | undefined, filter: string) => boolean,
  ) {
    this.#limits = limits
    this.#notices = notices
    this.#hasRoomToKeep = hasRoomToKeep
  }

  /** Grants it, or not and says so in the log. */
  grant(device: Device, client: Client, { topic, qos }: Subscription): boolean {
    const problem = subscribeProblem(device, topic, this.#limits) ?? this.#noRoomFor(device, topic)
    if (problem === undefined && qos > device.grantedQos) device.grantedQos = qos
    if (problem !== undefined) this.#notices.denied(client, topic, problem)
    else if (!device.filters.has(topic)) {
      device.filters.add(topic)
      this.#filters.take(device.rights.username, filterCost(topic))
    }
    return problem === undefined
  }

  #noRoomFor({ filters, rights, isKept, isRegistered }: Device, filter: string): string | undefined {
    if (filters.has(filter) || !isRegistered) return undefined // before its CONNACK: what its session has
    const hasRoom =
      this.#filters.hasRoom(rights.username, filterCost(filter)) &&
      (!isKept || this.#hasRoomToKeep(rights.username, filter))
    return hasRoom ? undefined : 'there is no room for more subscriptions'
  }

  /** They no longer count; by default all of the device. */
  giveUp({ filters, rights }: Device, given: Iterable<string> = [...filters]): void {
    for (const filter of given) {
      if (filters.delete(filter)) this.#filters.take(rights.username, -filterCost(filter))
    }
  }
}
