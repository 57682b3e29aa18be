import type { KeptEntry, Settlement } from '../../../src/adapter/contract.ts'
import type { PublishPacket } from './driver.ts'

/** A PUBLISH that at least one source wants. */
export interface Arrival {
  readonly packet: PublishPacket
  /** When it came, in milliseconds since the epoch: its time to live goes on while it waits. */
  readonly arrivedAt: number
  /** To be committed with the message. */
  readonly note?: KeptEntry | undefined
  /** Whose messages stay in their order, and wait by themselves where they take long. */
  readonly sender: object
  /** True where its device left before it was taken: it was never acknowledged and will come again. */
  isAbandoned(): boolean
  /** It is not taken at once: its bytes are to be its own. `withdraw` takes it back, unless it was taken meanwhile. */
  onWaiting(withdraw: () => void): void
  /** Called once by each intake that was offered it, when it waits there no longer; then `onTaken`, or `onSettled`. */
  onLeft(): void
  onTaken(): void
  onSettled(settlement: Settlement): void
}
