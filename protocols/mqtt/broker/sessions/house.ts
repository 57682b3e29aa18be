/** The one broker of a `listen` connection, shared by its source and its sink: opened by the first, closed by the last. */
import type { Context } from '../../../../src/adapter/contract.ts'
import { once } from '../../../../src/adapter/once.ts'
import type { EmbeddedBroker } from '../broker.ts'
import type { MqttBrokerConnection } from '../config.ts'
import { Intake } from '../intake.ts'

/** With aedes, for the first that enters: many gateways have no broker of their own. */
export const loadDriver = once(() => import('../broker.ts'))

/** A part in a running broker. */
export interface Lease {
  readonly broker: EmbeddedBroker
  /** Gives the part back; resolves when the broker is closed, where it was the last. Safe to call twice. */
  release(): Promise<void>
}

interface Tenancy {
  readonly broker: EmbeddedBroker
  readonly started: Promise<void>
  leases: number
}

export class House {
  readonly #connection: MqttBrokerConnection
  readonly #intakes = new Map<string, Intake>()
  /** The same, as the broker goes through it for every message. */
  readonly #list: Intake[] = []
  #current: Tenancy | undefined
  #closing: Promise<void> = Promise.resolve()

  constructor(connection: MqttBrokerConnection) {
    this.#connection = connection
  }

  /** The broker that runs now. */
  get current(): EmbeddedBroker | undefined {
    return this.#current?.broker
  }

  /**
   * The intake of these filters. It stays for the life of the house: while its source is closed, messages for it wait
   * unacknowledged instead of passing by.
   */
  intakeOf(filters: readonly string[]): Intake {
    const key = filters.join('\0')
    const known = this.#intakes.get(key)
    if (known !== undefined) return known
    const intake = new Intake(filters)
    this.#intakes.set(key, intake)
    this.#list.push(intake)
    return intake
  }

  /** Rejects as `EmbeddedBroker.start` does. */
  async enter(context: Context): Promise<Lease> {
    const { EmbeddedBroker } = await loadDriver()
    await this.#closing
    this.#current ??= this.#start(new EmbeddedBroker(this.#connection, this.#list, context))
    const tenancy = this.#current
    tenancy.leases += 1
    const lease = this.#leaseOf(tenancy)
    try {
      await tenancy.started
      return lease
    } catch (error) {
      await lease.release()
      throw error
    }
  }

  #start(broker: EmbeddedBroker): Tenancy {
    const tenancy = { broker, started: broker.start(), leases: 0 }
    void broker.failed.then(() => this.#evict(tenancy))
    return tenancy
  }

  #leaseOf(tenancy: Tenancy): Lease {
    let isReleased = false
    return {
      broker: tenancy.broker,
      release: async () => {
        if (isReleased) return
        isReleased = true
        tenancy.leases -= 1
        if (tenancy.leases === 0) await this.#evict(tenancy)
      },
    }
  }

  /** Closes a broker; who enters from now on gets a new one, once the ports are free. */
  async #evict(tenancy: Tenancy): Promise<void> {
    if (this.#current === tenancy) this.#current = undefined
    const closed = tenancy.broker.close().finally(() => {
      if (this.#current === undefined) for (const intake of this.#list) intake.clear()
    })
    this.#closing = this.#closing.then(() => closed)
    await closed
  }
}

const houses = new WeakMap<MqttBrokerConnection, House>()

/** The house of a connection: one per settings object. */
export function houseOf(connection: MqttBrokerConnection): House {
  const house = houses.get(connection) ?? new House(connection)
  houses.set(connection, house)
  return house
}
