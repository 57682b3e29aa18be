/** Certificates as a test needs them, made by openssl in a folder of its own. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Pair {
  readonly cert: string
  readonly key: string
}

export interface Subject {
  readonly cn?: string
  /** As openssl writes them: `DNS:localhost,URI:urn:x`. */
  readonly names?: string
  /** Below 0: expired. */
  readonly days?: number
}

const localNames = 'DNS:localhost,IP:127.0.0.1'
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export class Authority {
  readonly #folder = mkdtempSync(join(tmpdir(), 'trivium-certificates-'))
  /** Its own certificate. */
  readonly ca: string
  #made = 0

  constructor(name = 'authority') {
    this.ca = this.#file('ca.pem')
    const extension = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign']
    const files = ['-keyout', this.#file('ca.key'), '-out', this.ca]
    this.#run('req', '-x509', ...newKey, '-days', '2', '-subj', `/CN=${name}`, ...extension, ...files)
  }

  issue({ cn = 'localhost', names = localNames, days = 2 }: Subject = {}): Pair {
    const pair = this.#next()
    const request = `${pair.cert}.csr`
    const subject = [
      '-subj',
      cn === '' ? '/O=nobody' : `/CN=${cn.replaceAll('/', '\\/')}`,
      '-addext',
      `subjectAltName=${names}`,
    ]
    this.#run('req', ...newKey, ...subject, '-keyout', pair.key, '-out', request)
    const signer = ['-CA', this.ca, '-CAkey', this.#file('ca.key'), '-CAcreateserial', '-copy_extensions', 'copy']
    this.#run('x509', '-req', '-in', request, ...signer, '-days', String(days), '-out', pair.cert)
    return pair
  }

  selfSigned({ cn = 'localhost', names = localNames }: Omit<Subject, 'days'> = {}): Pair {
    const pair = this.#next()
    const subject = ['-subj', `/CN=${cn}`, '-addext', `subjectAltName=${names}`]
    this.#run('req', '-x509', ...newKey, '-days', '2', ...subject, '-keyout', pair.key, '-out', pair.cert)
    return pair
  }

  /** The file of its revocation list, with these on it. */
  revoke(...pairs: readonly Pair[]): string {
    const [config, index, list] = [this.#file('ca.cnf'), this.#file('index'), this.#file('crl.pem')]
    writeFileSync(config, `[ca]\ndefault_ca=own\n[own]\ndatabase=${index}\ndefault_md=sha256\ndefault_crl_days=1\n`)
    writeFileSync(index, '')
    const own = ['-config', config, '-cert', this.ca, '-keyfile', this.#file('ca.key')]
    for (const { cert } of pairs) this.#run('ca', ...own, '-revoke', cert)
    this.#run('ca', ...own, '-gencrl', '-out', list)
    return list
  }

  end(): void {
    rmSync(this.#folder, { recursive: true })
  }

  #next(): Pair {
    this.#made += 1
    return { cert: this.#file(`${this.#made}.pem`), key: this.#file(`${this.#made}.key`) }
  }

  #file(name: string): string {
    return join(this.#folder, name)
  }

  #run(...args: string[]): void {
    execFileSync('openssl', args, { stdio: 'ignore' })
  }
}
