/** A web service that takes everything, and counts what has come, by the first part of its path. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Web {
  readonly url: string
  countOf(name: string): number
  stop(): void
}

export async function startWeb(): Promise<Web> {
  const counts = new Map<string, number>()
  const server = createServer((request, response) => {
    const name = request.url?.split('/')[1] ?? ''
    request.resume().on('end', () => {
      counts.set(name, (counts.get(name) ?? 0) + 1)
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    countOf: (name) => counts.get(name) ?? 0,
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}
