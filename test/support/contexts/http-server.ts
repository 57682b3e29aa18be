/** Real HTTP servers that answer as a test tells them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { http } from '../../../protocols/http/index.ts'
import { HttpSink } from '../../../protocols/http/sink.ts'
import { type HttpClientConnection, HttpTarget } from '../../../protocols/http/target.ts'
import { testContext } from './context.ts'
import { never } from './messages.ts'

/** A request as it has arrived. */
export interface Got {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Answering = (got: Got, response: ServerResponse, nth: number) => void

export interface TestServer {
  readonly url: string
  readonly port: number
  readonly got: Got[]
  readonly server: Server
  close(): Promise<void>
}

/** Answers 204 unless `answering` does something else; keeps what it got. */
export async function serve(
  answering: Answering = (_got, response) => void response.writeHead(204).end(),
  port = 0,
): Promise<TestServer> {
  const got: Got[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url: path = '', headers } = request
    got.push({ method, path, headers, body: Buffer.concat(chunks).toString() })
    answering(got.at(-1)!, response, got.length)
  })
  const listening = await listen(server, port)
  const close = () => closed(server)
  return { url: `http://127.0.0.1:${listening}`, port: listening, got, server, close }
}

/** A peer that writes what it likes. */
export async function serveBytes(
  onData: (socket: Socket, nth: number) => void,
): Promise<{ url: string; count: () => number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  let count = 0
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => {
      count += 1
      onData(socket, count)
    })
  })
  const port = await listen(server as unknown as Server, 0)
  return {
    url: `http://127.0.0.1:${port}`,
    count: () => count,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail)
    server.listen(port, '127.0.0.1', done)
  })
  return (server.address() as AddressInfo).port
}

async function closed(server: Server): Promise<void> {
  const end = new Promise((done) => server.close(done))
  server.closeAllConnections()
  await end
}

type Written<T> = { readonly [Key in keyof T]?: unknown }

/** Settings of a target as a user writes them. */
export const targetOf = (settings: Written<HttpTarget>): HttpTarget => HttpTarget.parse(settings)

/** A sink with a connection as a user writes it, open. */
export async function openHttpSink(
  settings: Written<HttpClientConnection> = {},
  resolve?: ConstructorParameters<typeof HttpSink>[2],
) {
  const connection = http.connection.parse(settings)
  const context = testContext('shop')
  const sink = new HttpSink(connection as HttpClientConnection, context, resolve)
  await sink.open(never)
  return { sink, context }
}

/** Servers and sinks of a test; `end` closes them all, the latest first. */
export class HttpBench {
  readonly #ends: (() => unknown)[] = []

  async server(...parts: Parameters<typeof serve>): Promise<TestServer> {
    return this.#closing(await serve(...parts))
  }

  async bytes(...parts: Parameters<typeof serveBytes>) {
    return this.#closing(await serveBytes(...parts))
  }

  async sink(...parts: Parameters<typeof openHttpSink>) {
    const opened = await openHttpSink(...parts)
    this.later(() => opened.sink.close())
    return opened
  }

  later(end: () => unknown): void {
    this.#ends.push(end)
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end()
  }

  #closing<T extends { close(): Promise<void> }>(served: T): T {
    this.later(() => served.close())
    return served
  }
}
