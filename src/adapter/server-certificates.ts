/** The certificates of a connection's listeners: exchanged while they listen, at which no connection ends. */
import type tls from 'node:tls'
import { PermanentError } from '../errors.ts'
import type { Log } from './contract.ts'
import { type TlsFileNames, TlsFiles } from './tls-files.ts'

const lookMs = 1_000
const minVersion = 'TLSv1.2'

export class ServerCertificates {
  readonly #settings: TlsFileNames
  readonly #log: Log
  readonly #servers: tls.Server[] = []
  #files: TlsFiles | undefined
  #looking: NodeJS.Timeout | undefined

  constructor(settings: TlsFileNames | undefined, log: Log) {
    this.#settings = settings ?? {}
    this.#log = log
  }

  /** For a server about to be made, `text` being its address; with `ca` it demands client certificates. Throws PermanentError, CONFIG_INVALID or FILE_MISSING. */
  options(text: string): tls.TlsOptions {
    const { cert, key, ca } = this.#settings
    if (!cert || !key) throw new PermanentError('CONFIG_INVALID', `${text} needs tls.cert and tls.key`)
    this.#files ??= new TlsFiles(this.#settings, this.#log)
    const asked = ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true }
    return { ...this.#files.material, ...asked, minVersion }
  }

  /** From now on the server shows what its files hold. */
  renew(server: tls.Server): void {
    this.#servers.push(server)
    this.#looking ??= setInterval(() => this.#look(), lookMs).unref()
  }

  close(): void {
    clearInterval(this.#looking)
  }

  #look(): void {
    if (!this.#files?.refresh()) return
    for (const server of this.#servers) server.setSecureContext({ ...this.#files.material, minVersion })
  }
}
