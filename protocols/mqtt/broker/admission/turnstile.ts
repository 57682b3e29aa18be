/**
 * Between the parser and the broker: a packet that MQTT forbids ends the connection before the broker sees it, and a
 * device subscribes one packet at a time. The broker would begin all SUBSCRIBE of one read at once, each with a search of
 * its own among the retained messages.
 *
 * | state     | until                                    | what waits                                   |
 * |-----------|------------------------------------------|----------------------------------------------|
 * | answering | SUBACK or UNSUBACK is written            | all but acknowledgements and pings           |
 * | searching | the retained messages are sent           | SUBSCRIBE, UNSUBSCRIBE and those behind one  |
 */
import type { Client, IncomingPacket } from '../driver.ts'
import { parserOf } from '../driver.ts'

export interface TurnstileOptions {
  problemOf(packet: IncomingPacket): string | undefined
  onRefused(problem: string): void
  /** What waited has gone through: reading may go on. */
  onFree(): void
}

export class Turnstile {
  readonly #options: TurnstileOptions
  readonly #pass: (packet: IncomingPacket) => void
  #waiting: IncomingPacket[] = []
  #isAnswering = false
  #searches = 0
  #isRefused = false

  constructor(client: Client, options: TurnstileOptions) {
    this.#options = options
    const parser = parserOf(client)
    const broker = parser.listeners('packet')
    parser.removeAllListeners('packet')
    parser.on('packet', (packet: IncomingPacket) => this.#take(packet))
    this.#pass = (packet) => {
      for (const listener of broker) listener.call(parser, packet)
    }
  }

  /** True while packets wait here: no more are to be read. */
  get isHolding(): boolean {
    return this.#waiting.length > 0
  }

  /** A SUBACK or UNSUBACK was written: in the next turn comes the next packet, so that nobody else waits for all of them. */
  answered(): void {
    setImmediate(() => {
      this.#isAnswering = false
      this.#letThrough()
    })
  }

  /** A search for retained messages begins; to be called again when they are sent. */
  searches(): () => void {
    this.#searches += 1
    return () => {
      this.#searches -= 1
      this.#letThrough()
    }
  }

  /** The connection is over. */
  close(): void {
    this.#isRefused = true
    this.#waiting = []
  }

  #take(packet: IncomingPacket): void {
    if (this.#isRefused) return
    const problem = this.#options.problemOf(packet)
    if (problem !== undefined) {
      this.close()
      this.#options.onRefused(problem)
    } else if (isInTurn(packet) && (this.isHolding || this.#mustWait(packet))) {
      this.#waiting.push(packet)
    } else {
      this.#handOn(packet)
    }
  }

  #handOn(packet: IncomingPacket): void {
    if (isAboutSubscriptions(packet)) this.#isAnswering = true
    this.#pass(packet)
  }

  #mustWait(packet: IncomingPacket): boolean {
    return this.#isAnswering || (this.#searches > 0 && isAboutSubscriptions(packet))
  }

  #letThrough(): void {
    if (!this.isHolding) return
    let passed = 0
    while (passed < this.#waiting.length && !this.#mustWait(this.#waiting[passed] as IncomingPacket)) {
      passed += 1
      this.#handOn(this.#waiting[passed - 1] as IncomingPacket)
    }
    this.#waiting = this.#waiting.slice(passed)
    if (!this.isHolding) this.#options.onFree()
  }
}

/** Others answer what we sent, or only ask whether we live. */
function isInTurn({ cmd }: IncomingPacket): boolean {
  return cmd === 'publish' || cmd === 'disconnect' || cmd === 'subscribe' || cmd === 'unsubscribe'
}

function isAboutSubscriptions({ cmd }: IncomingPacket): boolean {
  return cmd === 'subscribe' || cmd === 'unsubscribe'
}
