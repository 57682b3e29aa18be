import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

/** Beyond any secret, certificate or configuration. */
export const mostBytes = 4 * 1024 ** 2
/** Beyond the payload that any broker takes. */
export const mostPayloadBytes = 256 * 1024 ** 2

/**
 * A file whose size is bounded, so that no name in a configuration can hold the gateway up: never waits for the other end
 * of a pipe and never reads a device. Throws what the system says, or an error with code NOT_A_FILE or FILE_TOO_LARGE.
 */
export function readSmallFile(path: string): Buffer {
  const handle = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    const stat = fstatSync(handle)
    if (stat.isDirectory()) throw coded('EISDIR', path)
    if (!stat.isFile()) throw coded('NOT_A_FILE', path)
    return readAll(handle, path)
  } finally {
    closeSync(handle)
  }
}

/** The same of whatever a user names to be read once: `/dev/stdin`, or `<(envsubst < trivium.yaml)`. */
export function readBounded(path: string, most = mostBytes): Buffer {
  const handle = openSync(path, 'r')
  try {
    return readAll(handle, path, most)
  } finally {
    closeSync(handle)
  }
}

function readAll(handle: number, path: string, most = mostBytes): Buffer {
  const chunks: Buffer[] = []
  let total = 0
  for (;;) {
    const chunk = Buffer.alloc(64 * 1024)
    const length = readSync(handle, chunk)
    if (length === 0) return Buffer.concat(chunks, total)
    total += length
    if (total > most) throw Object.assign(coded('FILE_TOO_LARGE', path), { most })
    chunks.push(chunk.subarray(0, length))
  }
}

function coded(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
