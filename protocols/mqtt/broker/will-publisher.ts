/** Last wills on their way to the sources: of devices that are gone, and of those an earlier broker lost. */
import { publishProblem } from './admission/rules.ts'
import type { Users } from './admission/users.ts'
import type { Limits } from './config.ts'
import type { Answer } from './device.ts'
import type { PublishPacket } from './driver.ts'
import type { Intake } from './intake.ts'
import type { Notices } from './notices.ts'
import { type ReceiveBuffer, Reservation } from './receive-buffer.ts'
import type { Sessions } from './sessions/sessions.ts'
import type { LostWill } from './sessions/wills.ts'

const willRetryMs = 1_000
/** Of a will that waits, besides its payload. */
const willBytes = 512

export interface WillPublisherParts {
  readonly buffer: ReceiveBuffer
  readonly users: Users
  readonly limits: Limits
  readonly notices: Notices
  readonly intakes: readonly Intake[]
  /** To the broker's own subscribers. */
  publish(packet: PublishPacket): Promise<void>
  isClosing(): boolean
}

export class WillPublisher {
  readonly #parts: WillPublisherParts

  constructor(parts: WillPublisherParts) {
    this.#parts = parts
  }

  /** A device was connected when an earlier broker ended: its will is due. [MQTT-3.1.2-8] */
  async publishLost(will: LostWill, sessions: Sessions): Promise<void> {
    const packet = { ...will.packet } as PublishPacket
    const rights = this.#parts.users.named(will.username)?.rightsAs(will.clientId)
    const problem = publishProblem(rights, packet.topic, this.#parts.limits)
    if (problem !== undefined) {
      this.#parts.notices.denied(null, packet.topic, problem)
      sessions.forgetWill(will)
      return
    }
    const intakes = this.#parts.intakes.filter((intake) => intake.matches(packet.topic))
    // now, so that no message of the device itself comes before it; the sources may take their time
    await this.#parts.publish(packet)
    this.offer(packet, intakes, () => this.#parts.isClosing() || sessions.forgetWill(will))
  }

  /**
   * A will has no device to send it again: what is released is offered again here. `sender`: its device, where that has just
   * left, and may have messages without acknowledgement that wait before it.
   */
  offer(packet: PublishPacket, intakes: readonly Intake[], done: Answer, sender: object = packet): void {
    let waitingFor = intakes.length
    if (waitingFor === 0) return done()
    const arrivedAt = Date.now()
    const offerTo = (intake: Intake) => {
      const reservation = new Reservation(this.#parts.buffer, undefined, {
        bytes: packet.payload.length + willBytes,
        parts: 1,
      })
      intake.offer({
        packet,
        sender,
        arrivedAt,
        isAbandoned: () => false,
        onWaiting: () => {},
        onLeft: () => reservation.giveUpPart(),
        onTaken: () => {},
        onSettled: (settlement) => {
          if (settlement === 'release' && !this.#parts.isClosing()) {
            setTimeout(() => offerTo(intake), willRetryMs).unref()
            return
          }
          waitingFor -= 1
          if (waitingFor === 0) done()
        },
      })
    }
    for (const intake of intakes) offerTo(intake)
  }
}
