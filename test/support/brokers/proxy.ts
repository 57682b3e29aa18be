/** A TCP proxy in front of a broker, whose network fails on demand. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Resets every connection, and each new one, until `restore`. */
  cut(): void
  /** Lets nothing pass either way, while connections stay open and new ones are accepted, until `restore`. */
  blackhole(): void
  /** Everything arrives later by `ms` and up to `jitterMs` more, in order, until `restore`. */
  latency(ms: number, jitterMs: number): void
  /** A few bytes each millisecond, written one to so many at a time, until `restore`. */
  slow(bytesPerMs: number): void
  /** A connection breaks off after so many bytes, counting both ways, until `restore`; new ones are made. */
  limit(bytes: number): void
  /** Resets every connection, once; new ones are made. */
  reset(): void
  /** Every connection loses its broker, once, and is not told: what it sends is swallowed. New ones are made. */
  halfOpen(): void
  /** Connects again; what a black hole has held back flows on. */
  restore(): void
  close(): Promise<void>
}

/** What happens to bytes on their way. */
interface Weather {
  readonly isOpen: boolean
  readonly delayMs: () => number
  /** Infinity: all at once. */
  readonly bytesPerMs: number
  /** Infinity: no limit. */
  readonly limitBytes: number
}

const fair: Weather = {
  isOpen: true,
  delayMs: () => 0,
  bytesPerMs: Number.POSITIVE_INFINITY,
  limitBytes: Number.POSITIVE_INFINITY,
}

/** Forwards a port of 127.0.0.1 to another; `port` where a broker must know it beforehand, by default a free one. */
export async function startProxy(targetPort: number, port = 0): Promise<TcpProxy> {
  const wires = new Set<Wire>()
  let weather = fair
  let isCut = false
  const server = createServer((client) => {
    if (isCut) {
      client.resetAndDestroy()
      return
    }
    const wire = new Wire(client, targetPort, () => wires.delete(wire))
    wires.add(wire)
    wire.change(weather)
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  const change = (to: Partial<Weather>) => {
    isCut = false
    weather = { ...fair, ...to }
    for (const wire of wires) wire.change(weather)
  }
  const reset = () => {
    for (const wire of wires) wire.reset()
  }
  const cut = () => {
    isCut = true
    reset()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    reset,
    blackhole: () => change({ isOpen: false }),
    latency: (ms, jitterMs) => change({ delayMs: () => ms + Math.random() * jitterMs }),
    slow: (bytesPerMs) => change({ bytesPerMs }),
    limit: (limitBytes) => change({ limitBytes }),
    halfOpen() {
      for (const wire of wires) wire.halfOpen()
    },
    restore: () => change({}),
    async close() {
      cut()
      await once(server.close(), 'close')
    },
  }
}

/** One client's connection and the one to the broker that belongs to it. */
class Wire {
  readonly #client: Socket
  readonly #broker: Socket
  readonly #flows: readonly Flow[]
  #weather = fair
  #passed = 0
  #isHalfOpen = false

  constructor(client: Socket, targetPort: number, onEnd: () => void) {
    this.#client = client
    this.#broker = connect(targetPort, '127.0.0.1')
    const count = (bytes: number) => this.#count(bytes)
    this.#flows = [new Flow(this.#client, this.#broker, count), new Flow(this.#broker, this.#client, count)]
    for (const socket of [this.#client, this.#broker]) {
      socket.setNoDelay(true)
      socket.on('error', () => {}) // `close` follows
    }
    this.#client.once('close', () => {
      this.#broker.destroy()
      onEnd()
    })
    this.#broker.once('close', () => {
      if (!this.#isHalfOpen) this.#client.destroy()
    })
  }

  change(weather: Weather): void {
    this.#weather = weather
    this.#passed = 0
    for (const flow of this.#flows) flow.change(weather)
  }

  /** How many of these bytes may still pass; breaks the connection off with the last one. */
  #count(bytes: number): number {
    const left = this.#weather.limitBytes - this.#passed
    this.#passed += bytes
    if (bytes < left) return bytes
    setImmediate(() => this.#client.destroy())
    return Math.max(0, left)
  }

  reset(): void {
    for (const socket of [this.#client, this.#broker]) {
      // one whose end is on its way would never close, and Node would wait for it for ever when it exits
      if (socket.writableEnded) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  halfOpen(): void {
    this.#isHalfOpen = true
    this.#broker.destroy()
    this.#client.resume()
  }
}

/** One direction of a wire. What has been read and may not go on yet waits here, and the reading then waits too. */
class Flow {
  readonly #from: Socket
  readonly #to: Socket
  readonly #count: (bytes: number) => number
  readonly #waiting: { bytes: Buffer; at: number }[] = []
  #weather = fair
  #timer: NodeJS.Timeout | undefined
  #lastAt = 0

  constructor(from: Socket, to: Socket, count: (bytes: number) => number) {
    this.#from = from
    this.#to = to
    this.#count = count
    from.on('data', (bytes) => {
      this.#lastAt = Math.max(this.#lastAt, performance.now() + this.#weather.delayMs())
      this.#waiting.push({ bytes, at: this.#lastAt })
      this.#flow()
    })
    from.on('end', () => this.#flow())
    from.once('close', () => clearTimeout(this.#timer))
    to.on('drain', () => this.#flow())
  }

  change(weather: Weather): void {
    this.#weather = weather
    this.#flow()
  }

  #flow(): void {
    clearTimeout(this.#timer)
    while (this.#weather.isOpen && !this.#to.writableNeedDrain && this.#to.writable) {
      const next = this.#waiting[0]
      const inMs = (next?.at ?? 0) - performance.now()
      if (next === undefined || inMs > 0) {
        if (next !== undefined) this.#timer = setTimeout(() => this.#flow(), Math.ceil(inMs))
        break
      }
      if (this.#weather.bytesPerMs < next.bytes.length) {
        this.#trickle(next)
        break
      }
      this.#waiting.shift()
      this.#write(next.bytes)
    }
    this.#read()
  }

  /** The beginning of it, and the rest a millisecond later. */
  #trickle(next: { bytes: Buffer }): void {
    const count = 1 + Math.floor(Math.random() * 2 * this.#weather.bytesPerMs)
    this.#write(next.bytes.subarray(0, count))
    next.bytes = next.bytes.subarray(count)
    if (next.bytes.length === 0) this.#waiting.shift()
    this.#timer = setTimeout(() => this.#flow(), 1)
  }

  #write(bytes: Buffer): void {
    const passing = this.#count(bytes.length)
    if (passing > 0) this.#to.write(passing < bytes.length ? bytes.subarray(0, passing) : bytes)
  }

  #read(): void {
    const waiting = this.#waiting.reduce((sum, { bytes }) => sum + bytes.length, 0)
    const isEnough = waiting > 1024 * 1024 || this.#to.writableNeedDrain
    if (!this.#weather.isOpen || isEnough) this.#from.pause()
    else this.#from.resume()
    if (this.#from.readableEnded && this.#waiting.length === 0) this.#to.end()
  }
}
