import { promisify } from 'node:util'
import { constants, gunzip, gzip, zstdCompress, zstdDecompress } from 'node:zlib'
import type { compressions } from '../config.ts'
import { lz4Decompress } from './lz4.ts'
import { snappyDecompress } from './snappy.ts'

export type Compression = (typeof compressions)[number]

/** Bits 0 to 2 of a record batch's attributes. */
export const compressionCodes: Readonly<Record<Compression, number>> = { none: 0, gzip: 1, zstd: 4 }

/** Most bytes one batch may unfold to: a bomb must not take the process with it. */
const maxOutputBytes = 128 * 1024 * 1024

const gzipBytes = promisify(gzip)
const gunzipBytes = promisify(gunzip)
const zstdBytes = promisify(zstdCompress)
const unzstdBytes = promisify(zstdDecompress)

/** The records of one batch, compressed off the main thread. */
export async function compress(kind: Compression, data: Buffer): Promise<Buffer> {
  if (kind === 'gzip') return gzipBytes(data, { level: constants.Z_BEST_SPEED })
  return kind === 'zstd' ? zstdBytes(data) : data
}

/** The records of one batch as they were. Throws what says why not. A batch that unfolds to more than 128 MiB is refused. */
export async function decompress(code: number, data: Buffer): Promise<Buffer> {
  const options = { maxOutputLength: maxOutputBytes }
  if (code === 0) return data
  if (code === 1) return gunzipBytes(data, options).catch(explain)
  if (code === 2) return snappyDecompress(data, maxOutputBytes)
  if (code === 3) return lz4Decompress(data, maxOutputBytes)
  if (code === 4) return unzstdBytes(data, options).catch(explain)
  throw new RangeError(`compressed in an unknown way (${code})`)
}

function explain(error: unknown): never {
  const isTooLarge = (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE'
  throw isTooLarge ? new RangeError('it unfolds to more than 128 MiB', { cause: error }) : error
}

/** True where the machine, not the batch, is why it could not be unfolded. */
export function isShortOfMemory(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown }
  return code === 'Z_MEM_ERROR' || code === 'ENOMEM' || /allocation failed/i.test(String(message))
}
