/**
 * The emitter behind the broker, with two faults of it mended. aedes drops a message that overtook its elders (a plain
 * QoS 0 message needs no store and passes a QoS 1 message of the same read; the counter of the subscriber then takes the
 * older one for a duplicate): the hub sends what one turn of the event loop gathered in the order of publishing. And it
 * waits for slow subscribers only a moment, so that one of them never stops the others. It sends for a few milliseconds at a
 * time: a message may have thousands of subscribers.
 */
import { canaryTopic } from './canary.ts'
import { type Emitter, type Listener, matcherOf, type StoredPacket } from './driver.ts'

const patienceMs = 200
const sliceMs = 5

interface Emission {
  readonly packet: StoredPacket
  readonly sinceMs: number
  done: ((error?: Error) => void) | undefined
  isOverdue: boolean
}

export class Hub implements Emitter {
  readonly #inner: Emitter
  #gathered: Emission[] = []
  /** Emissions under way, oldest first; ended ones leave when the timer comes by. */
  #underWay: Emission[] = []
  #overdue = 0
  readonly #timer: NodeJS.Timeout

  constructor(inner: Emitter) {
    this.#inner = inner
    this.#timer = setInterval(() => this.#giveUpOnSlow(), patienceMs / 2).unref()
  }

  on(topic: string, listener: Listener, done?: () => void): unknown {
    return this.#inner.on(topic, listener, done)
  }

  removeListener(topic: string, listener: Listener, done?: () => void): unknown {
    return this.#inner.removeListener(topic, listener, done)
  }

  /** True where somebody connected subscribes to the topic. */
  hasListener(topic: string): boolean {
    return matcherOf(this.#inner).match(topic).length > 0
  }

  /** `done` is called when all subscribers have it in their socket, or after a moment. */
  emit(packet: StoredPacket, done: (error?: Error) => void = () => {}): void {
    if (packet.topic === canaryTopic) return this.#sendOne({ packet, done }) // asks whether we pass messages, not how many wait
    if (this.#gathered.length === 0) setImmediate(() => this.#send())
    this.#gathered.push({ packet, sinceMs: 0, done, isOverdue: false })
  }

  close(done: () => void): unknown {
    clearInterval(this.#timer)
    return this.#inner.close(done)
  }

  #send(): void {
    const batch = this.#gathered
    this.#gathered = []
    if (!isSorted(batch)) batch.sort((a, b) => counterOf(a) - counterOf(b))
    const endsMs = performance.now() + sliceMs
    let sent = 0
    for (const emission of batch) {
      this.#sendOne(emission)
      sent += 1
      if (performance.now() >= endsMs) break
    }
    if (sent === batch.length) return
    if (this.#gathered.length === 0) setImmediate(() => this.#send())
    this.#gathered = [...batch.slice(sent), ...this.#gathered]
  }

  #sendOne({ packet, done }: Pick<Emission, 'packet' | 'done'>): void {
    const emission: Emission = { packet, sinceMs: Date.now(), done, isOverdue: false }
    this.#inner.emit(packet, (error) => {
      if (emission.isOverdue) this.#overdue -= 1
      end(emission, error)
    })
    if (emission.done === undefined) return
    this.#underWay.push(emission)
    if (this.#overdue > 0) this.#giveUp(emission) // somebody is slow already: nobody waits for him twice
  }

  #giveUpOnSlow(): void {
    const deadlineMs = Date.now() - patienceMs
    for (const emission of this.#underWay) if (emission.sinceMs <= deadlineMs) this.#giveUp(emission)
    this.#underWay = this.#underWay.filter((emission) => emission.done !== undefined)
  }

  #giveUp(emission: Emission): void {
    if (emission.done === undefined || emission.isOverdue) return
    emission.isOverdue = true
    this.#overdue += 1
    end(emission)
  }
}

function end(emission: Emission, error?: Error): void {
  const done = emission.done
  emission.done = undefined
  done?.(error)
}

function counterOf({ packet }: Emission): number {
  return packet.brokerCounter ?? 0
}

function isSorted(batch: readonly Emission[]): boolean {
  for (let i = 1; i < batch.length; i += 1) {
    if (counterOf(batch[i - 1] as Emission) > counterOf(batch[i] as Emission)) return false
  }
  return true
}
