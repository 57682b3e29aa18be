/**
 * QoS 2 messages of devices whose PUBREL is awaited. The gateway's store commits the first note of one together with the
 * message (`noteFor`); it becomes `isPublished` when the message went to the broker's own subscribers too.
 */
import type { KeptEntry } from '../../../../src/adapter/contract.ts'
import { ownBytes } from '../../../../src/envelope/own-bytes.ts'
import type { StoredPacket } from '../driver.ts'
import type { EntryStore } from './entry-store.ts'
import { decodeRecord, encodeRecord, numberedKey, parseNumberedKey, spaces } from './records.ts'

interface Handshake {
  readonly isPublished: boolean
  /** The packet, its payload left out where the room for payloads was full. */
  readonly packet: StoredPacket
}

interface Note {
  /** The session's mark: an id of an earlier session of this client means nothing. */
  readonly session: string
  readonly isPublished: boolean
}

export class Handshakes {
  readonly #entryStore: EntryStore
  readonly #byClient = new Map<string, Map<number, Handshake>>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(entryStore: EntryStore, maxBytes: number) {
    this.#entryStore = entryStore
    this.#maxBytes = maxBytes
  }

  /** `markOf` gives the mark of a kept session; what belongs to none is removed. */
  load(markOf: (clientId: string) => string | undefined): void {
    for (const [key, value] of this.#entryStore.all(spaces.incoming)) {
      const { number: messageId, text: clientId } = parseNumberedKey(key)
      const { session, isPublished } = decodeRecord<Note>(value).fields
      if (markOf(clientId) === session) this.#set(clientId, { isPublished, packet: emptyPacket(messageId) })
      else this.#entryStore.delete(spaces.incoming, key)
    }
  }

  get(clientId: string, messageId: number): Handshake | undefined {
    return this.#byClient.get(clientId)?.get(messageId)
  }

  countOf(clientId: string): number {
    return this.#byClient.get(clientId)?.size ?? 0
  }

  /** What the store is to commit together with a message that came with this id. */
  noteFor(clientId: string, messageId: number, session: string, isPublished = false): KeptEntry {
    const value = encodeRecord({ session, isPublished } satisfies Note)
    return { space: spaces.incoming, key: numberedKey(messageId, clientId), value }
  }

  /** The message is on its way to the subscribers. `session` is undefined for one that ends with its connection. */
  publish(clientId: string, packet: StoredPacket, session: string | undefined): void {
    this.#set(clientId, { isPublished: true, packet: this.#shortened(packet) })
    if (session === undefined) return
    const { space, key, value } = this.noteFor(clientId, packet.messageId ?? 0, session, true)
    this.#entryStore.put(space, key, value)
  }

  end(clientId: string, messageId: number, isKept: boolean): void {
    const handshakes = this.#byClient.get(clientId)
    const handshake = handshakes?.get(messageId)
    if (handshake === undefined) return
    this.#bytes -= handshake.packet.payload.length
    handshakes?.delete(messageId)
    if (handshakes?.size === 0) this.#byClient.delete(clientId)
    if (isKept) this.#entryStore.delete(spaces.incoming, numberedKey(messageId, clientId))
  }

  endAll(clientId: string, isKept: boolean): void {
    for (const messageId of [...(this.#byClient.get(clientId)?.keys() ?? [])]) this.end(clientId, messageId, isKept)
  }

  #set(clientId: string, handshake: Handshake): void {
    const handshakes = this.#byClient.get(clientId) ?? new Map<number, Handshake>()
    const messageId = handshake.packet.messageId ?? 0
    this.#bytes += handshake.packet.payload.length - (handshakes.get(messageId)?.packet.payload.length ?? 0)
    handshakes.set(messageId, handshake)
    this.#byClient.set(clientId, handshakes)
  }

  // only the id counts; the interface promises the packet, and gives it whole while that costs little
  #shortened(packet: StoredPacket): StoredPacket {
    const { cmd, topic, qos, retain, dup, messageId } = packet
    const payload = this.#bytes + packet.payload.length > this.#maxBytes ? new Uint8Array(0) : ownBytes(packet.payload)
    return { cmd, topic, payload, qos, retain, dup, messageId }
  }
}

function emptyPacket(messageId: number): StoredPacket {
  return { cmd: 'publish', topic: '', payload: new Uint8Array(0), qos: 2, retain: false, dup: false, messageId }
}
