/** How many sockets may be open: over all, from one address, and as many as the process may have open files. */

import { isLoopback } from '../../../../src/adapter/loopback.ts'
import type { Limits } from '../config.ts'
import { addressKey } from './peer-address.ts'

/** What a connection was refused for. */
export type NoSeat = 'connections' | 'address' | 'files'

/** Open files that are kept for the admin server, the store and the other connections. */
const leastKept = 48
const mostKept = 256

export interface OpenFiles {
  /** What the system allows the process. */
  readonly limit: number
  /** What all embedded brokers of the process may have of it at once. */
  readonly sockets: number
}

let known: OpenFiles | undefined
let socketsOfProcess = 0

export function openFiles(): OpenFiles {
  known ??= shareOf(readLimit())
  return known
}

function shareOf(limit: number): OpenFiles {
  const kept = Math.min(mostKept, Math.max(leastKept, Math.floor(limit / 4)))
  return { limit, sockets: Math.max(1, limit - kept) }
}

function readLimit(): number {
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean }
  const isExcluded = report.excludeNetwork
  report.excludeNetwork = true // it would look up names
  try {
    const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: number | 'unlimited' } } }
    return Number(userLimits?.open_files?.soft) || Number.POSITIVE_INFINITY
  } finally {
    report.excludeNetwork = isExcluded
  }
}

export class Seats {
  readonly #maxConnections: number
  readonly #maxPerAddress: number | undefined
  readonly #byAddress = new Map<string, number>()
  #taken = 0

  constructor({ maxConnections, maxConnectionsPerAddress }: Limits) {
    this.#maxConnections = maxConnections
    this.#maxPerAddress = maxConnectionsPerAddress
  }

  /** A seat for a connection from there; the function given leaves it, once. Or why there is none. */
  take(address: string): (() => void) | NoSeat {
    const key = addressKey(address)
    const ofAddress = this.#byAddress.get(key) ?? 0
    if (ofAddress >= this.#mostOf(key)) return 'address'
    if (this.#taken >= this.#maxConnections) return 'connections'
    if (socketsOfProcess >= openFiles().sockets) return 'files'
    this.#byAddress.set(key, ofAddress + 1)
    this.#taken += 1
    socketsOfProcess += 1
    let isTaken = true
    return () => {
      if (isTaken) this.#leave(key)
      isTaken = false
    }
  }

  /** By default half of the seats are out of the reach of any one address; this machine itself may fill them all. */
  #mostOf(key: string): number {
    if (this.#maxPerAddress !== undefined) return this.#maxPerAddress
    if (isLoopback(key)) return Number.POSITIVE_INFINITY
    return Math.max(1, Math.floor(Math.min(this.#maxConnections, openFiles().sockets) / 2))
  }

  #leave(key: string): void {
    const left = (this.#byAddress.get(key) ?? 1) - 1
    if (left === 0) this.#byAddress.delete(key)
    else this.#byAddress.set(key, left)
    this.#taken -= 1
    socketsOfProcess -= 1
  }
}
