import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import type { compressions } from '../config.ts'
import { lz4Compress, lz4Decompress } from './lz4.ts'
import { snappyCompress, snappyDecompress } from './snappy.ts'

export type Compression = (typeof compressions)[number]

/** Most bytes one batch may unfold to: a bomb must not take the process with it. */
const maxOutputBytes = 128 * 1024 * 1024

/** Node has it since 22.15. */
export const hasZstd = 'zstdCompress' in zlib

const gzipBytes = promisify(zlib.gzip)
const gunzipBytes = promisify(zlib.gunzip)
const zstdBytes = hasZstd ? promisify(zlib.zstdCompress) : withoutZstd
const unzstdBytes = hasZstd ? promisify(zlib.zstdDecompress) : withoutZstd

interface Codec {
  /** Bits 0 to 2 of a record batch's attributes. */
  readonly code: number
  compress(data: Buffer): Promise<Buffer>
  /** Throws what says why not, also where it would be more than `maxBytes`. */
  decompress(data: Buffer, maxBytes: number): Promise<Buffer>
}

const codecs: Readonly<Record<Compression, Codec>> = {
  none: { code: 0, compress: async (data) => data, decompress: async (data) => data },
  gzip: {
    code: 1,
    compress: (data) => gzipBytes(data, { level: zlib.constants.Z_BEST_SPEED }),
    decompress: (data, maxOutputLength) => gunzipBytes(data, { maxOutputLength }).catch(explain),
  },
  snappy: { code: 2, compress: snappyCompress, decompress: snappyDecompress },
  lz4: { code: 3, compress: lz4Compress, decompress: lz4Decompress },
  zstd: {
    code: 4,
    compress: (data) => zstdBytes(data),
    decompress: (data, maxOutputLength) => unzstdBytes(data, { maxOutputLength }).catch(explain),
  },
}
const byCode: ReadonlyMap<number, Codec> = new Map(Object.values(codecs).map((codec) => [codec.code, codec]))

/** Bits 0 to 2 of a record batch's attributes. */
export function codeOf(kind: Compression): number {
  return codecs[kind].code
}

/** The records of one batch, compressed off the main thread. */
export async function compress(kind: Compression, data: Buffer): Promise<Buffer> {
  return codecs[kind].compress(data)
}

/** The records of one batch as they were. Throws what says why not. A batch that unfolds to more than 128 MiB is refused. */
export async function decompress(code: number, data: Buffer): Promise<Buffer> {
  const codec = byCode.get(code)
  if (codec === undefined) throw new RangeError(`compressed in an unknown way (${code})`)
  return codec.decompress(data, maxOutputBytes)
}

async function withoutZstd(): Promise<never> {
  const text = `zstd needs Node 22.15 or newer, this is ${process.version}`
  throw Object.assign(new Error(text), { code: 'ENOSYS' })
}

function explain(error: unknown): never {
  const isTooLarge = (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE'
  throw isTooLarge ? new RangeError('it unfolds to more than 128 MiB', { cause: error }) : error
}

/** True where the machine, not the batch, is why it could not be compressed or unfolded. */
export function isFaultOfMachine(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown }
  return code === 'Z_MEM_ERROR' || code === 'ENOMEM' || code === 'ENOSYS' || /allocation failed/i.test(String(message))
}
