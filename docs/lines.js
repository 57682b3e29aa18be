// A protocol of one's own: each line over TCP is a message, and is answered by `ok` and its number once it is safe.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import * as trivium from 'trivium'

const { delivered, Envelope, PermanentError, RetryableError, rejected, retryable, z } = trivium

class Line extends trivium.SourceDelivery {
  constructor(text, number, socket) {
    const envelope = {
      messageId: trivium.uuidv7(),
      timestamp: new Date().toISOString(),
      source: 'lines://',
      payload: Buffer.from(text),
    }
    super(new Envelope(envelope), 'lines')
    Object.assign(this, { number, socket })
  }
}

class LinesSource {
  #waiting = []
  #sockets = new Set()

  constructor({ port }, context) {
    this.port = port
    this.budget = trivium.sourceBudget(context, { maxInFlight: [100] }) // at most 100 lines are unsettled
  }

  async open() {
    this.session = new trivium.SourceSession(this, { budget: this.budget, gather: 'turn', redeliverMs: 1_000 })
    this.server = createServer((socket) => this.#serve(socket)).listen(this.port, '127.0.0.1')
    await once(this.server, 'listening').catch((cause) => {
      throw new RetryableError('PEER_UNREACHABLE', `port ${this.port} cannot be opened: ${cause.message}`, { cause })
    })
  }

  consume(deliver, signal) {
    return this.session.run(deliver, signal)
  }

  async close() {
    this.session?.end(new RetryableError('PEER_LOST', 'the source was closed'))
    this.server?.close()
    for (const socket of this.#sockets) socket.destroy()
    this.#waiting = []
  }

  // what the session asks for
  next = () => this.#waiting.shift()
  settle = ({ socket, number }, settlement) => settlement !== 'release' && socket.write(`ok ${number}\n`)
  pause = () => this.#sockets.forEach((socket) => void socket.pause())
  resume = () => this.#sockets.forEach((socket) => void socket.resume())

  #serve(socket) {
    let number = 0
    this.#sockets.add(socket)
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
    createInterface(socket).on('line', (text) => {
      this.#waiting.push(new Line(text, ++number, socket))
      this.session.arrived()
    })
  }
}

class LinesSink {
  keepsOrder = true
  maxConcurrentSends = 1
  maxBatch = 100

  constructor({ port }) {
    this.port = port
  }

  async open(signal) {
    this.sent = 0
    this.answers = new Map() // number of a line -> whom to tell that it is safe
    this.socket = connect(this.port, '127.0.0.1')
    this.gone = new Promise((resolve) => {
      this.socket.once('close', () => resolve(new RetryableError('PEER_LOST', 'the connection is lost')))
    })
    this.socket.on('error', () => {})
    await once(this.socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(5_000)]) }).catch(
      (cause) => {
        throw new RetryableError('PEER_UNREACHABLE', `nobody listens at port ${this.port}`, { cause })
      },
    )
    createInterface(this.socket).on('line', (text) => this.answers.get(Number(text.slice(3)))?.(delivered))
  }

  async close() {
    this.socket?.destroy()
  }

  lost = () => this.gone
  send = (batch) => Promise.all(batch.map(({ envelope }) => this.#sendOne(Buffer.from(envelope.payload ?? ''))))

  async #sendOne(line) {
    if (line.includes('\n')) return rejected(new PermanentError('MESSAGE_REFUSED', 'a line cannot hold a line break'))
    const number = ++this.sent
    const answer = new Promise((resolve) => this.answers.set(number, resolve))
    this.socket.write(Buffer.concat([line, Buffer.from('\n')]))
    const late = setTimeout(10_000, undefined, { ref: false }).then(
      () => new RetryableError('PEER_TIMEOUT', 'no answer in 10 s'),
    )
    const end = await Promise.race([answer, this.gone.then(retryable), late.then(retryable)])
    this.answers.delete(number)
    return end
  }
}

const port = z.int().min(1).max(65_535).meta({ description: 'TCP port on this machine.' })

export const lines = trivium.defineProtocol({
  name: 'lines',
  summary: 'Lines over TCP.',
  connection: z.strictObject({ port }),
  defaultFormat: 'raw',
  source: {
    schema: z.strictObject({}),
    patterns: () => [{ text: 'lines', separator: undefined }],
    group: () => '',
    create: (connection, _froms, context) => new LinesSource(connection, context),
    defaultAcknowledge: 'stored',
  },
  sink: {
    schema: z.strictObject({}),
    destinations: {},
    plainTemplates: [],
    address: () => '',
    targetOf: () => ({}),
    create: (connection) => new LinesSink(connection),
  },
})
