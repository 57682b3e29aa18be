/** The one broker of a `listen` connection, shared by its source and its sink: opened by the first, closed by the last. */
import type { Context } from '../../../src/adapter/contract.ts'
import { once } from '../../../src/adapter/once.ts'
import type { EmbeddedBroker } from './broker.ts'
import type { MqttBrokerConnection } from './config.ts'
import { Intake } from './intake.ts'

/** With aedes, for the first that acquires one: many gateways have no broker of their own. */
export const loadDriver = once(() => import('./broker.ts'))

/** One user's hold of a running broker. */
export interface BrokerHandle {
  readonly broker: EmbeddedBroker
  /** Lets it go; resolves when the broker is closed, where it was the last. Safe to call twice. */
  release(): Promise<void>
}

interface Running {
  readonly broker: EmbeddedBroker
  readonly started: Promise<void>
  handles: number
}

export class SharedBroker {
  readonly #connection: MqttBrokerConnection
  readonly #intakes = new Map<string, Intake>()
  /** The same, as the broker goes through it for every message. */
  readonly #list: Intake[] = []
  #current: Running | undefined
  #closing: Promise<void> = Promise.resolve()

  constructor(connection: MqttBrokerConnection) {
    this.#connection = connection
  }

  /** The broker that runs now. */
  get current(): EmbeddedBroker | undefined {
    return this.#current?.broker
  }

  /**
   * The intake of these filters. It stays as long as the connection is configured: while its source is closed, messages for it wait
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
  async acquire(context: Context): Promise<BrokerHandle> {
    const { EmbeddedBroker } = await loadDriver()
    await this.#closing
    this.#current ??= this.#start(new EmbeddedBroker(this.#connection, this.#list, context))
    const running = this.#current
    running.handles += 1
    const handle = this.#handleOf(running)
    try {
      await running.started
      return handle
    } catch (error) {
      await handle.release()
      throw error
    }
  }

  #start(broker: EmbeddedBroker): Running {
    const running = { broker, started: broker.start(), handles: 0 }
    void broker.failed.then(() => this.#end(running))
    return running
  }

  #handleOf(running: Running): BrokerHandle {
    let isReleased = false
    return {
      broker: running.broker,
      release: async () => {
        if (isReleased) return
        isReleased = true
        running.handles -= 1
        if (running.handles === 0) await this.#end(running)
      },
    }
  }

  /** Closes a broker; who acquires it from now on gets a new one, once the ports are free. */
  async #end(running: Running): Promise<void> {
    if (this.#current === running) this.#current = undefined
    const closed = running.broker.close().finally(() => {
      if (this.#current === undefined) for (const intake of this.#list) intake.clear()
    })
    this.#closing = this.#closing.then(() => closed)
    await closed
  }
}

const sharedBrokers = new WeakMap<MqttBrokerConnection, SharedBroker>()

/** The shared of a connection: one per settings object. */
export function sharedBrokerOf(connection: MqttBrokerConnection): SharedBroker {
  const shared = sharedBrokers.get(connection) ?? new SharedBroker(connection)
  sharedBrokers.set(connection, shared)
  return shared
}
