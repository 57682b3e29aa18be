/**
 * What a device's bytes pass before the parser sees them. The broker gets whole packets only, and no more at a time than the
 * others can bear; the beginning of a packet waits here.
 */
import type { Duplex } from 'node:stream'
import { HeaderScanner } from './admission/header-scanner.ts'
import { Beginning, type Holding, type Unfinished } from './admission/unfinished.ts'
import type { Turns } from './turns.ts'

const pingResponse = Buffer.from([0xd0, 0])

/** How much of a connection is read, and who is told what comes of it. */
export interface ReadPolicy {
  readonly maxPacketBytes: number
  readonly maxSubscribeBytes: number
  readonly turns: Turns
  readonly unfinished: Unfinished
  /** True while no further packet may reach the broker; it asks again when one of those before is done. */
  isHeld(): boolean
  /** True while packets wait for their settlement: pings are then answered here. */
  isBusy(): boolean
  onBytes(): void
  onRefused(problem: string): void
}

/**
 * Limits what `conn` gives: whoever reads from it (the broker calls `read` when it is ready for more) gets only what was
 * admitted. While the broker is busy a lone PINGREQ is answered here, so that a device outlives a slow settlement.
 */
export function guardReads(conn: Duplex, policy: ReadPolicy): void {
  const inlet = new Inlet(conn, policy)
  conn.read = (size?: number) => inlet.read(size)
  conn.on('readable', () => inlet.answerPings())
  conn.once('close', () => inlet.close())
}

class Inlet {
  readonly #conn: Duplex
  readonly #policy: ReadPolicy
  readonly #scanner: HeaderScanner
  readonly #read: (size?: number) => Buffer | null
  readonly #beginning = new Beginning()
  readonly #holding: Holding
  readonly #goOn = () => void (this.#isOver || this.#conn.emit('readable'))
  /** Read, and not yet admitted. */
  #rest: Buffer | undefined
  #isOver = false
  #hasPutBack = false

  constructor(conn: Duplex, policy: ReadPolicy) {
    this.#conn = conn
    this.#policy = policy
    this.#scanner = new HeaderScanner(policy.maxPacketBytes, policy.maxSubscribeBytes)
    this.#read = conn.read.bind(conn)
    this.#holding = policy.unfinished.hold(() => this.#refuse('its packet grows too slowly while others need the room'))
  }

  read(size: number | undefined): Buffer | null {
    if (this.#isOver || this.#policy.isHeld()) return null
    if (size === 0) return this.#read(0) // the stream's own call: it takes nothing
    const most = this.#policy.turns.grant(this.#goOn)
    if (most === 0) return null
    this.#hasPutBack = false
    const chunk = this.#rest ?? this.#read()
    this.#rest = undefined
    if (chunk === null) return null
    this.#policy.onBytes()
    return this.#admit(chunk, most)
  }

  #admit(chunk: Buffer, most: number): Buffer | null {
    const scanner = this.#scanner
    const refusal = scanner.admit(chunk, most)
    if (refusal !== undefined) {
      this.#refuse(refusal.problem, refusal.answer)
      return null
    }
    this.#policy.turns.spend(scanner.ended + 1) // a read without an end costs too
    const whole = scanner.ended === 0 ? undefined : this.#beginning.finish(chunk.subarray(0, scanner.endedAt))
    const rest = chunk.subarray(scanner.endedAt)
    if (scanner.ended === most) this.#wait(rest)
    else if (rest.length > 0) this.#beginning.append(rest, scanner.packetBytes)
    this.#holding.set(this.#beginning.capacity)
    return whole ?? null
  }

  #wait(rest: Buffer): void {
    if (rest.length === 0) return
    this.#rest = rest
    this.#policy.turns.waitForTurn(this.#goOn)
  }

  answerPings(): void {
    const isIdle = !this.#policy.isBusy() || !this.#scanner.isAtBoundary || this.#rest !== undefined
    if (this.#isOver || this.#hasPutBack || isIdle || this.#conn.writableNeedDrain) return
    const chunk = this.#read()
    if (chunk === null) return
    this.#policy.onBytes()
    if (isPings(chunk)) {
      this.#conn.write(pingResponse)
    } else {
      this.#hasPutBack = true
      this.#conn.unshift(chunk)
    }
  }

  close(): void {
    this.#isOver = true
    this.#rest = undefined
    this.#beginning.clear()
    this.#holding.close()
  }

  #refuse(problem: string, answer?: Uint8Array): void {
    if (this.#isOver) return
    this.close()
    this.#policy.onRefused(problem)
    if (answer === undefined) {
      this.#conn.destroy()
      return
    }
    this.#conn.end(answer)
    setTimeout(() => this.#conn.destroy(), 500).unref()
  }
}

function isPings(chunk: Buffer): boolean {
  for (let i = 0; i < chunk.length; i += 2) if (chunk[i] !== 0xc0 || chunk[i + 1] !== 0) return false
  return true
}
