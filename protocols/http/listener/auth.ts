/** Who may send: any one of the ways that `auth` names lets a request in. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { HttpListenerConnection } from './config.ts'
import { Refusal } from './problem.ts'
import { Replays } from './replays.ts'
import { Signature } from './signatures.ts'

type Settings = NonNullable<HttpListenerConnection['auth']>

/** By a signature. */
export interface Proven {
  /** The same for the same sender, as long as the configuration names it so. */
  readonly who: string
  /** What `forget` takes, where the request is not taken after all. */
  readonly onceOnly: string | undefined
}

/** Lets a request in by its headers, or asks for its body. */
export class Guard {
  readonly #tokens: readonly Buffer[]
  readonly #users: readonly Buffer[]
  readonly #signatures: readonly Signature[]
  readonly #replays: Replays
  readonly #isOpen: boolean
  readonly #asks: string

  constructor(auth: Settings | undefined) {
    const { tokens = [], users = [], signatures = [] } = auth ?? {}
    this.#tokens = tokens.map(digest)
    this.#users = users.map(({ username, password }) => digest(`${username}:${password}`))
    this.#signatures = signatures.map((each) => new Signature(each))
    // one from the future stays valid for as long again
    this.#replays = new Replays(2 * Math.max(0, ...signatures.map(({ tolerance }) => tolerance)))
    this.#isOpen = auth === undefined
    this.#asks = [
      ...(tokens.length > 0 ? ['Bearer'] : []),
      ...(users.length > 0 ? ['Basic realm="trivium"'] : []),
    ].join(', ')
  }

  /** Who it is, see `Proven`; undefined: its signature says so, see `checkSigned`. Throws a Refusal, 401. */
  check(headers: IncomingHttpHeaders): string | undefined {
    const who = this.#isOpen ? 'anybody' : this.#whoShows(headers.authorization ?? '')
    if (who !== undefined || this.#signatures.some((signature) => signature.isClaimedBy(headers))) return who
    throw this.#refusal('the request shows no credentials that let it in')
  }

  /** Throws a Refusal, 401. */
  checkSigned(headers: IncomingHttpHeaders, body: Uint8Array): Proven {
    const nowMs = Date.now()
    const proofs = this.#signatures.map((signature) => signature.check(headers, body, nowMs))
    const at = proofs.findIndex((each) => each !== undefined)
    if (at === -1) throw this.#refusal('the signature is not right, or too old')
    const onceOnly = proofs[at]?.onceOnly
    if (onceOnly !== undefined && !this.#replays.isFirst(onceOnly, performance.now()))
      throw this.#refusal('this signature was used before')
    return { who: `signature ${at}`, onceOnly }
  }

  forget(onceOnly: string | undefined): void {
    if (onceOnly !== undefined) this.#replays.forget(onceOnly)
  }

  #whoShows(authorization: string): string | undefined {
    const [, scheme = '', shown = ''] = /^(\S+) +(\S+)$/.exec(authorization) ?? []
    const digested = digest(scheme.toLowerCase() === 'basic' ? Buffer.from(shown, 'base64') : shown)
    if (scheme.toLowerCase() === 'bearer' && isAnyOf(this.#tokens, digested)) return `token ${digested.toString('hex')}`
    if (scheme.toLowerCase() !== 'basic' || !isAnyOf(this.#users, digested)) return undefined
    return `user ${/^[^:]*/.exec(Buffer.from(shown, 'base64').toString())?.[0]}`
  }

  #refusal(detail: string): Refusal {
    const headers = this.#asks === '' ? {} : { 'www-authenticate': this.#asks }
    return new Refusal({ status: 401, code: 'CREDENTIALS_REFUSED', detail, headers })
  }
}

/** Looks at all of them, whichever is the right one. */
function isAnyOf(known: readonly Buffer[], digested: Buffer): boolean {
  return known.reduce((isFound, each) => timingSafeEqual(each, digested) || isFound, false)
}

const digest = (text: string | Uint8Array): Buffer => createHash('sha256').update(text).digest()

/** The subject of the client's certificate; empty where it shows none. */
export function certifiedName(socket: Socket | TLSSocket): string {
  if (!('getPeerCertificate' in socket)) return ''
  const { subject } = socket.getPeerCertificate() ?? {}
  return subject === undefined ? '' : JSON.stringify(subject)
}
