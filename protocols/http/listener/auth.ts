/** Who may send: any one of the ways that `auth` names lets a request in. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { HttpListenerConnection } from './config.ts'
import { Refusal } from './problem.ts'
import { Replays } from './replays.ts'
import { Signature } from './signatures.ts'

type Settings = NonNullable<HttpListenerConnection['auth']>

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

  /** `signed`: it is let in if the signature over its body is right, see `checkSigned`. Throws a Refusal, 401. */
  check(headers: IncomingHttpHeaders): 'let in' | 'signed' {
    if (this.#isOpen || this.#hasCredentials(headers.authorization ?? '')) return 'let in'
    if (this.#signatures.some((signature) => signature.isClaimedBy(headers))) return 'signed'
    throw this.#refusal('the request shows no credentials that let it in')
  }

  /** Gives what `forget` takes, where the request is not taken after all. Throws a Refusal, 401. */
  checkSigned(headers: IncomingHttpHeaders, body: Uint8Array): string | undefined {
    const nowMs = Date.now()
    const proof = this.#signatures
      .map((signature) => signature.check(headers, body, nowMs))
      .find((each) => each !== undefined)
    if (proof === undefined) throw this.#refusal('the signature is not right, or too old')
    const { onceOnly } = proof
    if (onceOnly !== undefined && !this.#replays.isFirst(onceOnly, performance.now()))
      throw this.#refusal('this signature was used before')
    return onceOnly
  }

  forget(onceOnly: string | undefined): void {
    if (onceOnly !== undefined) this.#replays.forget(onceOnly)
  }

  #hasCredentials(authorization: string): boolean {
    const [, scheme = '', shown = ''] = /^(\S+) +(\S+)$/.exec(authorization) ?? []
    if (scheme.toLowerCase() === 'bearer') return isAnyOf(this.#tokens, shown)
    return scheme.toLowerCase() === 'basic' && isAnyOf(this.#users, Buffer.from(shown, 'base64').toString())
  }

  #refusal(detail: string): Refusal {
    const headers = this.#asks === '' ? {} : { 'www-authenticate': this.#asks }
    return new Refusal({ status: 401, code: 'CREDENTIALS_REFUSED', detail, headers })
  }
}

/** Looks at all of them, whichever is the right one. */
function isAnyOf(known: readonly Buffer[], shown: string): boolean {
  const digested = digest(shown)
  return known.reduce((isFound, each) => timingSafeEqual(each, digested) || isFound, false)
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
