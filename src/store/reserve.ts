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

  /** Writes it, really, as a sparse file reserves nothing. False when the disk has no room for it. */
  make(): boolean {
    if (this.isThere) return true
    try {
      this.release()
      const handle = openSync(this.#file, 'w', 0o600)
      try {
        let written = 0
        while (written < reserveBytes) written += writeSync(handle, block)
        fsyncSync(handle)
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
