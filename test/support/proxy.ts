/** A TCP proxy in front of a broker, whose network fails on demand. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Resets every connection, and each new one, until `restore`. */
  cut(): void
  /** Lets nothing pass either way, while connections stay open and new ones are accepted, until `restore`. */
  blackhole(): void
  /** Connects again; what a black hole has held back flows on. */
  restore(): void
  close(): Promise<void>
}

/** Forwards a port of 127.0.0.1 to another; `port` where a broker must know it beforehand, by default a free one. */
export async function startProxy(targetPort: number, port = 0): Promise<TcpProxy> {
  const wires = new Set<Wire>()
  let state: 'open' | 'cut' | 'blackhole' = 'open'
  const server = createServer((client) => {
    if (state === 'cut') {
      client.resetAndDestroy()
      return
    }
    const wire = new Wire(client, targetPort, () => wires.delete(wire))
    wires.add(wire)
    if (state === 'open') wire.join()
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    state = 'cut'
    for (const wire of wires) wire.reset()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    blackhole() {
      state = 'blackhole'
      for (const wire of wires) wire.part()
    },
    restore() {
      state = 'open'
      for (const wire of wires) wire.join()
    },
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

  constructor(client: Socket, targetPort: number, onEnd: () => void) {
    this.#client = client
    this.#broker = connect(targetPort, '127.0.0.1')
    for (const socket of [this.#client, this.#broker]) {
      socket.setNoDelay(true)
      socket.on('error', () => {}) // `close` follows
      socket.once('close', () => {
        this.#client.destroy()
        this.#broker.destroy()
        onEnd()
      })
    }
  }

  join(): void {
    this.part()
    this.#client.pipe(this.#broker)
    this.#broker.pipe(this.#client)
  }

  part(): void {
    this.#client.unpipe()
    this.#broker.unpipe()
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#broker.resetAndDestroy()
  }
}
