/**
 * Notices a peer that is silent while the socket looks alive. mqtt.js postpones its ping at every PUBACK and hears only
 * PINGRESP (#1861); here pings leave on time whatever else is sent, and any byte that arrives counts.
 */
export class Liveness {
  readonly #timer: NodeJS.Timeout
  readonly #ping: () => void
  readonly #onSilent: () => void
  #ticks = 0
  #silentTicks = 0
  #isDeaf = false

  /** A ping each half of `keepaliveMs`; `onSilent` after 1.5 times of it without a byte. */
  constructor(keepaliveMs: number, ping: () => void, onSilent: () => void) {
    this.#ping = ping
    this.#onSilent = onSilent
    this.#timer = setInterval(() => this.#tick(), keepaliveMs / ticksPerKeepalive)
  }

  /** Bytes have arrived. */
  hear(): void {
    this.#silentTicks = 0
  }

  /** While reading is paused nothing can be heard: silence says nothing then. */
  set isDeaf(isDeaf: boolean) {
    this.#isDeaf = isDeaf
    this.#silentTicks = 0
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    this.#ticks += 1
    if (this.#ticks % ticksPerPing === 0) this.#ping()
    if (this.#isDeaf) return
    this.#silentTicks += 1
    if (this.#silentTicks >= ticksUntilSilent) this.#onSilent()
  }
}

const ticksPerKeepalive = 4
const ticksPerPing = 2
const ticksUntilSilent = 6
