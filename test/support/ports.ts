import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/**
 * Below what the system gives to clients and to those who listen at port 0, so that none of them takes a port between its
 * choice and its use; a part for each of the runner's workers, so that they do not take each other's. TRIVIUM_TEST_PORTS names one for a runner
 * beside another.
 */
const lowest = 12_000
const partSize = 5_000
const parts = 4
const part = Number(process.env.TRIVIUM_TEST_PORTS ?? process.env.JEST_WORKER_ID ?? 0)
const base = lowest + (part % parts) * partSize
let next = Math.floor(Math.random() * partSize)

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1)
  return port as number
}

/** That many different ones. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = base + next
    next = (next + 1) % partSize
    if (await isFree(port)) ports.push(port)
  }
  return ports
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  const isListening = await listening(server)
  if (isListening) await once(server.close(), 'close')
  return isListening
}

function listening(server: Server): Promise<boolean> {
  return new Promise((resolve) => {
    server.once('listening', () => resolve(true)).once('error', () => resolve(false))
  })
}
