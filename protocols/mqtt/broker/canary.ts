import type { PublishPacket, StoredPacket } from './driver.ts'

export const canaryTopic = '$canary' // one level, whatever maxTopicLevels says
const everyMs = 5_000

/** What it asks of the broker. */
interface Broker {
  publish(packet: PublishPacket): Promise<void>
  subscribe(topic: string, deliver: (packet: unknown, done: () => void) => void): void
}

/** A message to ourselves, now and then: a broker that stopped passing messages answers pings all the same. */
export class Canary {
  readonly #broker: Broker
  readonly #onSilence: () => void
  #isSeen = true
  #timer: NodeJS.Timeout | undefined

  constructor(broker: Broker, onSilence: () => void) {
    this.#broker = broker
    this.#onSilence = onSilence
  }

  start(): void {
    this.#broker.subscribe(canaryTopic, (_packet, done) => {
      this.#isSeen = true
      done()
    })
    this.#timer = setInterval(() => this.#check(), everyMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #check(): void {
    if (!this.#isSeen) return this.#onSilence()
    this.#isSeen = false
    const packet: StoredPacket = {
      cmd: 'publish',
      topic: canaryTopic,
      payload: Buffer.alloc(0),
      qos: 0,
      retain: false,
      dup: false,
    }
    this.#broker.publish(packet as PublishPacket).catch(() => {})
  }
}
