import { closeSync, existsSync, fsyncSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export const reserveBytes = 4 * 1024 ** 2
const block = Buffer.alloc(64 * 1024, 'reserve ')

/** Room on the disk that is given up when it is full, so that deliveries and dead letters can still be noted. */
export class Reserve {
  readonly #directory: string
  readonly #file: string

  constructor(directory: string) {
    this.#directory = directory
    this.#file = join(directory, 'reserve')
  }

  get isThere(): boolean {
    return existsSync(this.#file) && statSync(this.#file).size === reserveBytes
  }

  /** Writes it. False when the disk has no room for it. */
  make(): boolean {
    if (this.isThere) return true
    try {
      this.release()
      const handle = openSync(this.#file, 'w', 0o600)
      try {
        takeRoom(handle, reserveBytes, block)
      } finally {
        closeSync(handle)
      }
      syncDirectory(this.#directory)
      return true
    } catch {
      this.release() // a part of it is in the way of what it is for
      return false
    }
  }

  /** Gives the room back to the disk. */
  release(): void {
    releaseReserve(this.#directory)
  }
}

/** Fills a new file, really, as a sparse one has no room of its own; synced. The size is a multiple of the block's. */
export function takeRoom(handle: number, bytes: number, content: Buffer): void {
  for (let written = 0; written < bytes; ) written += writeSync(handle, content)
  fsyncSync(handle)
}

/** True when there was any. */
export function releaseReserve(directory: string): boolean {
  const file = join(directory, 'reserve')
  const was = existsSync(file)
  rmSync(file, { force: true })
  return was
}

/** A new file is there after a power cut only once its directory is on disk. */
export function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
