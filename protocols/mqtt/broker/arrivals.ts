/**
 * Turns what a device publishes into arrivals at the intakes, and their settlement into its acknowledgement. A QoS 2
 * message that is sent again before its PUBREL is not a second one. [MQTT-4.3.3-2]
 */
import type { KeptEntry, Settlement } from '../../../src/adapter/contract.ts'
import { ownBytes } from '../../../src/envelope/own-bytes.ts'
import type { Arrival } from './arrival.ts'
import type { Answer, Device } from './device.ts'
import type { PublishPacket } from './driver.ts'
import type { Intake } from './intake.ts'
import { type ReceiveBuffer, Reservation } from './receive-buffer.ts'

/** Unsettled QoS 2 messages: client id, packet id. */
type OpenHandshakes = Map<string, Map<number, DeviceArrival>>

/** What the arrivals have to know of open QoS 2 handshakes. */
export interface OpenIds {
  /** True for a message that was taken and whose PUBREL is awaited. */
  hasIncoming(clientId: string, messageId: number): boolean
  /** `unsettled` of the client are under way besides. */
  hasRoomForIncoming(clientId: string, unsettled: number): boolean
  /** What is to be committed with the message, where its session outlives a crash. */
  noteOfIncoming(clientId: string, messageId: number): KeptEntry | undefined
}

/** Of a message that waits, besides its payload and topic. */
const flatBytes = 512

const released = () => new Error('the message could not be taken')

export class Arrivals {
  readonly #open: OpenHandshakes = new Map()
  readonly #ids: OpenIds
  readonly #buffer: ReceiveBuffer
  readonly #onDropped: () => void

  /** `onDropped` is called for a QoS 0 message that has no room. */
  constructor(ids: OpenIds, buffer: ReceiveBuffer, onDropped: () => void) {
    this.#ids = ids
    this.#buffer = buffer
    this.#onDropped = onDropped
  }

  /** `answer` is called when all of `intakes` have accepted the message, in its turn among those of the device. */
  publish(device: Device, packet: PublishPacket, intakes: readonly Intake[], answer: Answer): void {
    if (packet.qos === 0) {
      this.#publishUnheld(device, packet, intakes, answer)
      return
    }
    const inTurn = device.hold(answer)
    if (packet.qos === 2) this.#publishOnce(device, packet, intakes, inTurn)
    else
      this.#offer(
        new DeviceArrival(device, this.#reserve(device, packet, intakes), packet, intakes.length, inTurn),
        intakes,
      )
  }

  /** A message that is not acknowledged; one more would only do harm where all sockets are held back already. */
  #publishUnheld(device: Device, packet: PublishPacket, intakes: readonly Intake[], answer: Answer): void {
    if (this.#buffer.isCrowded) {
      this.#onDropped()
      answer()
      return
    }
    const reservation = this.#reserve(device, packet, intakes)
    this.#offer(new UnheldArrival(device, reservation, packet, intakes.length, device.waitForRoom(answer)), intakes)
  }

  #reserve(device: Device, { topic, payload }: PublishPacket, intakes: readonly Intake[]): Reservation {
    const bytes = payload.length + topic.length + flatBytes
    return new Reservation(this.#buffer, device, { bytes, parts: intakes.length })
  }

  /** Forgets the handshakes of a session that is over: its packet ids start afresh. */
  endSession(clientId: string): void {
    this.#open.delete(clientId)
  }

  #publishOnce(device: Device, packet: PublishPacket, intakes: readonly Intake[], answer: Answer): void {
    const id = packet.messageId ?? 0
    if (this.#ids.hasIncoming(device.clientId, id)) {
      answer()
      return
    }
    const ofClient = this.#open.get(device.clientId) ?? new Map<number, DeviceArrival>()
    const earlier = ofClient.get(id)
    if (earlier !== undefined) {
      earlier.join(device, answer)
      return
    }
    if (!this.#ids.hasRoomForIncoming(device.clientId, ofClient.size)) {
      answer(new Error('too many QoS 2 messages await their PUBREL'))
      return
    }
    // with several intakes one may commit the message and another lose it in a crash: then it has to come again
    const note = intakes.length === 1 ? this.#ids.noteOfIncoming(device.clientId, id) : undefined
    const settled = (error?: Error) => {
      if (ofClient.get(id) === arrival) ofClient.delete(id)
      if (ofClient.size === 0 && this.#open.get(device.clientId) === ofClient) this.#open.delete(device.clientId)
      answer(error)
    }
    const arrival = new DeviceArrival(
      device,
      this.#reserve(device, packet, intakes),
      packet,
      intakes.length,
      settled,
      note,
    )
    ofClient.set(id, arrival)
    this.#open.set(device.clientId, ofClient)
    this.#offer(arrival, intakes)
  }

  #offer(arrival: Arrival, intakes: readonly Intake[]): void {
    for (const intake of intakes) intake.offer(arrival)
  }
}

/** QoS 0: its device goes on as soon as it is taken; what becomes of it then, nobody can be told. */
class UnheldArrival implements Arrival {
  readonly sender: object
  readonly packet: PublishPacket
  readonly arrivedAt = Date.now()
  readonly #reservation: Reservation
  readonly #answer: Answer
  #waitingFor: number

  constructor(device: Device, reservation: Reservation, packet: PublishPacket, intakes: number, answer: Answer) {
    this.sender = device
    this.packet = packet
    this.#reservation = reservation
    this.#waitingFor = intakes
    this.#answer = answer
  }

  isAbandoned(): boolean {
    return false
  }

  onWaiting(): void {
    own(this.packet)
  }

  onLeft(): void {
    this.#reservation.giveUpPart()
  }

  onTaken(): void {
    this.#waitingFor -= 1
    if (this.#waitingFor === 0) this.#answer()
  }

  onSettled(): void {}
}

/** QoS 1 and 2: acknowledged when every source has accepted it, never when one has released it. */
class DeviceArrival implements Arrival {
  readonly packet: PublishPacket
  readonly arrivedAt = Date.now()
  readonly note: KeptEntry | undefined
  readonly #device: Device
  readonly #reservation: Reservation
  readonly #answer: Answer
  #withdrawals: (() => void)[] | undefined
  #joined: { device: Device; answer: Answer }[] | undefined
  #waitingFor: number
  /** So many intakes have it waiting. */
  #waitingIn: number
  #isReleased = false

  constructor(
    device: Device,
    reservation: Reservation,
    packet: PublishPacket,
    intakes: number,
    answer: Answer,
    note?: KeptEntry,
  ) {
    this.#device = device
    this.#reservation = reservation
    this.packet = packet
    this.note = note
    this.#waitingFor = intakes
    this.#waitingIn = intakes
    this.#answer = answer
  }

  get sender(): object {
    return this.#device
  }

  isAbandoned(): boolean {
    return this.#device.isClosed && (this.#joined?.every(({ device }) => device.isClosed) ?? true)
  }

  /** The same QoS 2 message came again before this one was settled. */
  join(device: Device, answer: Answer): void {
    this.#joined ??= []
    this.#joined.push({ device, answer })
    if (this.#withdrawals !== undefined) device.whenLeft(this.#onDeviceLeft)
  }

  /** What a device had waiting goes with it: it was never acknowledged, and comes again. */
  readonly #onDeviceLeft = (): void => {
    if (!this.isAbandoned()) return
    const withdrawals = this.#withdrawals ?? []
    this.#withdrawals = undefined
    for (const withdraw of withdrawals) withdraw()
  }

  onWaiting(withdraw: () => void): void {
    own(this.packet)
    if (this.#withdrawals === undefined) this.#device.whenLeft(this.#onDeviceLeft)
    this.#withdrawals ??= []
    this.#withdrawals.push(withdraw)
  }

  onLeft(): void {
    this.#reservation.giveUpPart()
    this.#waitingIn -= 1
    if (this.#waitingIn > 0 || this.#withdrawals === undefined) return
    this.#device.forget(this.#onDeviceLeft)
    for (const { device } of this.#joined ?? []) device.forget(this.#onDeviceLeft)
  }

  onTaken(): void {}

  onSettled(settlement: Settlement): void {
    if (settlement === 'release') this.#isReleased = true
    this.#waitingFor -= 1
    if (this.#waitingFor > 0) return
    const joined = this.#joined ?? []
    if (this.#isReleased) for (const { device } of [{ device: this.#device }, ...joined]) device.close()
    const error = this.#isReleased ? released() : undefined
    this.#answer(error)
    if (joined.length === 0) return
    // the broker notes the packet id a moment after the first answer; only then are the others duplicates for it
    setImmediate(() => {
      for (const { answer } of joined) answer(error)
    })
  }
}

function own(packet: PublishPacket): void {
  if (typeof packet.payload !== 'string') packet.payload = ownBytes(packet.payload) as Buffer
}
