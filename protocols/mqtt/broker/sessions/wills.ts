/**
 * The last wills of connected devices. In the store each has a key of its own, so that a device that is back soon after a
 * crash does not replace the will which that crash called for.
 */
import { ownBytes } from '../../../../src/envelope/own-bytes.ts'
import type { StoredPacket } from '../driver.ts'
import type { EntryStore } from './entry-store.ts'
import { costOf } from './outgoing.ts'
import { decodeRecord, encodeRecord, numberedKey, spaces } from './records.ts'

export interface Will extends StoredPacket {
  clientId?: string
}

/** A will of a device whose connection was lost when an earlier broker ended. */
export interface LostWill {
  readonly key: string
  readonly clientId: string
  readonly username: string | undefined
  readonly packet: StoredPacket
}

interface WillFields {
  readonly clientId: string
  readonly username?: string | undefined
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

export class Wills {
  readonly #entryStore: EntryStore
  readonly #byClient = new Map<string, { readonly key: string; readonly will: Will }>()
  readonly lost: LostWill[] = []
  #isFrozen = false
  #bytes = 0
  #next = 1

  constructor(entryStore: EntryStore) {
    this.#entryStore = entryStore
  }

  /** What is there was put by an earlier broker that ended while its devices were connected. */
  load(): void {
    for (const [key, value] of this.#entryStore.all(spaces.will)) {
      const { fields, payload } = decodeRecord<WillFields>(value)
      const { clientId, username, topic, qos, retain } = fields
      this.lost.push({ key, clientId, username, packet: { cmd: 'publish', topic, payload, qos, retain, dup: false } })
    }
  }

  put(brokerId: string, clientId: string, will: Will, username: string | undefined): void {
    will.payload = ownBytes(will.payload)
    will.brokerId = brokerId
    will.clientId = clientId
    const key = numberedKey(this.#next, brokerId)
    this.#next += 1
    this.delete(clientId)
    this.#byClient.set(clientId, { key, will })
    this.#bytes += costOf(will)
    const { topic, qos, retain, payload } = will
    this.#entryStore.put(
      spaces.will,
      key,
      encodeRecord({ clientId, username, topic, qos, retain } satisfies WillFields, payload),
    )
  }

  /** Memory that the wills of connected devices hold. */
  get bytes(): number {
    return this.#bytes
  }

  get(clientId: string): Will | undefined {
    return this.#byClient.get(clientId)?.will
  }

  delete(clientId: string): Will | undefined {
    const entry = this.#byClient.get(clientId)
    if (entry === undefined) return undefined
    this.#byClient.delete(clientId)
    this.#bytes -= costOf(entry.will)
    if (!this.#isFrozen) this.forget(entry.key)
    return entry.will
  }

  /** A lost will was published. */
  forget(key: string): void {
    this.#entryStore.delete(spaces.will, key)
  }

  /** MQTT 3.1.1, 3.1.2.5: a server that shuts down may publish the wills after its restart. From now on they stay. */
  freeze(): void {
    this.#isFrozen = true
  }

  *of(knownBrokers: Readonly<Record<string, unknown>>): Generator<Will> {
    for (const { will } of this.#byClient.values()) if (!knownBrokers[will.brokerId ?? '']) yield will
  }
}
