/** The certificate files of a connection: checked together, and read again when one of them has changed. */
import { statSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { messageOf, PermanentError } from '../errors.ts'
import type { Log } from './contract.ts'
import { readSmallFile } from './small-file.ts'
import { withTlsHint } from './tls-hint.ts'

/** Names of PEM files, as `tls` of a connection gives them. */
export interface TlsFileNames {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly crl?: string | undefined
}
/** What they held, for `node:tls`. */
export interface TlsMaterial {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  readonly crl?: Buffer
}

const kinds = ['ca', 'cert', 'key', 'crl'] as const

/**
 * What cannot be used leaves the earlier certificates in place, and is said once for each change: a renewed pair is written
 * one file after the other, so that half of it may be met.
 */
export class TlsFiles {
  readonly #names: TlsFileNames
  readonly #log: Log
  #stamp: string
  #material: TlsMaterial

  /** Throws PermanentError, FILE_MISSING or CONFIG_INVALID: there is nothing earlier to keep. */
  constructor(names: TlsFileNames, log: Log) {
    this.#names = names
    this.#log = log
    this.#stamp = this.#stampNow()
    this.#material = readMaterial(names)
  }

  get material(): TlsMaterial {
    return this.#material
  }

  /** Looks whether a file has changed; true where there are new certificates. Never throws. */
  refresh(): boolean {
    const stamp = this.#stampNow()
    if (stamp === this.#stamp) return false
    this.#stamp = stamp
    try {
      this.#material = readMaterial(this.#names)
    } catch (error) {
      const text = 'changed certificate files cannot be used, the earlier certificates stay in use'
      this.#log.warn(text, { ...this.#names, error: messageOf(error) })
      return false
    }
    this.#log.info('certificate files changed and were read again', { ...this.#names })
    return true
  }

  #stampNow(): string {
    return kinds.map((kind) => stampOf(this.#names[kind])).join(' ')
  }
}

const known = new WeakMap<TlsFileNames, TlsFiles>()

/**
 * The TLS options of a client's next connect, none where `names` is undefined: its certificates as they are now, or those
 * used last where the files are unusable by now. The server's certificate is verified whatever NODE_TLS_REJECT_UNAUTHORIZED says.
 */
export function clientTlsOptions(
  names: (TlsFileNames & { readonly serverName?: string | undefined }) | undefined,
  log: Log,
) {
  if (names === undefined) return {}
  const { serverName } = names
  const { ca, ...material } = clientFiles(names, log).material
  return {
    ...material,
    ...(ca !== undefined && { ca: [ca] }), // a list, which is all that amqplib's types know
    ...(serverName !== undefined && { servername: serverName }),
    rejectUnauthorized: true,
  }
}

function clientFiles(names: TlsFileNames, log: Log): TlsFiles {
  const files = known.get(names) ?? new TlsFiles(names, log)
  if (known.has(names)) files.refresh()
  else known.set(names, files)
  return files
}

function readMaterial(names: TlsFileNames): TlsMaterial {
  const material: Partial<Record<(typeof kinds)[number], Buffer>> = {}
  for (const kind of kinds) {
    const file = names[kind]
    if (file !== undefined) material[kind] = readPem(file)
  }
  try {
    createSecureContext(material)
  } catch (cause) {
    throw new PermanentError('CONFIG_INVALID', unusable(names, cause), { cause })
  }
  return material
}

function readPem(file: string): Buffer {
  try {
    return readSmallFile(file)
  } catch (cause) {
    throw new PermanentError('FILE_MISSING', `cannot read ${file}: ${messageOf(cause)}`, { cause })
  }
}

function unusable(names: TlsFileNames, cause: unknown): string {
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH')
    return `${names.key} is not the key of the certificate ${names.cert}`
  const files = kinds.map((kind) => names[kind]).filter((file) => file !== undefined)
  return `the certificates in ${files.join(', ')} cannot be used: ${withTlsHint(cause)}`
}

/** Links are followed: a mounted secret is exchanged by moving a link. */
function stampOf(file: string | undefined): string {
  if (file === undefined) return '-'
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(file)
    return `${ino}/${size}/${mtimeMs}/${ctimeMs}`
  } catch {
    return 'none'
  }
}
