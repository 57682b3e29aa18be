/** Reads topics from an external broker: one client per connection and share group. */
import type { Context, Deliver, Source } from '../../../src/adapter/contract.ts'
import type { MqttFrom } from '../config.ts'
import { inFlightLimits } from '../settings.ts'
import { filterOf } from '../topic.ts'
import type { MqttClientConnection } from './config.ts'
import { type Link, openLink } from './connection.ts'
import { HeldFilters, type Wanted } from './held-filters.ts'
import { createSession, Intake, type Session } from './intake.ts'
import { Reception } from './reception.ts'
import { coveringFilters, covers } from './subscription.ts'

const usualInFlight = 1_024
/** For what is settled as soon as it is on disk: few messages at a time die young, at a part of the collector's cost (docs/decisions/0012). */
const storedInFlight = 256

export class MqttSource implements Source {
  readonly #settings: MqttClientConnection
  readonly #context: Context
  readonly #wanted: readonly Wanted[]
  readonly #held: HeldFilters
  readonly #clientId: string
  readonly #session: Session
  readonly #reception = new Reception()
  /** True once this process's filters stand in the broker's session. */
  #isSubscribed = false

  /** `froms` are of one group: they have the same `share`. */
  constructor(settings: MqttClientConnection, froms: readonly MqttFrom[], context: Context) {
    const share = froms[0]?.share
    this.#settings = settings
    this.#context = context
    this.#wanted = wantedOf(froms, share)
    this.#clientId = `${settings.clientId ?? `${context.gatewayId}-${context.connection}`}-in${share === undefined ? '' : `-${share}`}`
    const usual = settings.maxInFlight ?? (context.settlesOnDisk ? storedInFlight : usualInFlight)
    this.#session = createSession(context, inFlightLimits(froms, usual))
    this.#held = new HeldFilters(this.#wanted, this.#clientId, context)
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.close()
    const intake = new Intake(this.#session, this.#context, this.#held)
    const link = await openLink(
      {
        settings: this.#settings,
        clientId: this.#clientId,
        clean: this.#settings.clean,
        receiveMaximum: this.#session.budget.maxCount,
        take: (packet) => intake.take(packet),
        log: this.#context.log,
      },
      signal,
    )
    this.#reception.begin(link, intake)
    await this.#subscribe(link)
    void this.#held.letGo(link)
  }

  consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    return this.#reception.consume(deliver, signal)
  }

  close(): Promise<void> {
    return this.#reception.close()
  }

  /** A session the broker has kept holds our filters already: to subscribe again would repeat MQTT 3.1.1's retained messages. */
  async #subscribe(link: Link): Promise<void> {
    if (this.#isSubscribed && link.sessionPresent) return
    this.#isSubscribed = false
    try {
      const granted = await this.#held.bring(link, !this.#settings.clean)
      this.#isSubscribed = true
      this.#warnIfShorter(link.grantedExpiryMs)
      for (const { filter, qos } of this.#wanted) this.#warnIfWeaker(filter, qos, granted.get(filter) ?? 0)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  #warnIfShorter(grantedMs: number | undefined): void {
    const { clean, sessionExpiry } = this.#settings
    if (clean || grantedMs === undefined || grantedMs >= sessionExpiry) return
    const text = `the broker keeps the session for ${grantedMs / 1000} s only: a gateway that is away for longer loses messages`
    this.#context.log.warn(text, { connection: this.#context.connection, askedSecs: sessionExpiry / 1000 })
  }

  #warnIfWeaker(filter: string, asked: number, granted: number): void {
    if (granted >= asked) return
    this.#context.log.warn('the broker grants less than was asked for', { filter, asked, granted })
  }
}

function wantedOf(froms: readonly MqttFrom[], share: string | undefined): Wanted[] {
  const wishes = froms.map((from) => ({ from, filter: filterOf(from.topic), qos: from.qos }))
  const covering = coveringFilters(wishes)
  const coverOf = (filter: string) =>
    covering.has(filter) ? filter : [...covering.keys()].find((cover) => covers(cover, filter))
  const served = Map.groupBy(wishes, ({ filter }) => coverOf(filter))
  return [...covering].map(([filter, qos]) => ({
    filter: share === undefined ? filter : `$share/${share}/${filter}`,
    qos,
    readers: new Set(served.get(filter)?.map(({ from }) => from)),
  }))
}
