/** OAuth 2 client credentials: one token for all requests, fetched ahead of its end, never twice at a time. */
import { messageOf, RetryableError } from '../../../src/errors.ts'
import type { OauthSettings } from '../target.ts'
import { headerOf } from './answers.ts'
import type { Answer, Request } from './exchange.ts'
import { retryAfterMs } from './retry-after.ts'
import { placeOf } from './url.ts'

/** Twice that and the longest timeout of a target end before the gateway's own deadline of a `send`. */
const fetchMs = 6_000
const mostBytes = 64 * 1_024
/** Of a token whose server does not say how long it lasts. */
const usualSecs = 300
/** A new one is fetched when so much of its time is left, or this share of it where that is less. */
const aheadMs = 60_000
const aheadShare = 0.2

interface Token {
  readonly text: string
  readonly renewAtMs: number
  readonly endsAtMs: number
}

export class Tokens {
  readonly #settings: OauthSettings
  readonly #exchange: (request: Request) => Promise<Answer>
  #token: Token | undefined
  #fetching: Promise<Token> | undefined

  constructor(settings: OauthSettings, exchange: (request: Request) => Promise<Answer>) {
    this.#settings = settings
    this.#exchange = exchange
  }

  /** Throws a RetryableError that is an outage where there is none to be had. */
  async text(nowMs = performance.now()): Promise<string> {
    const token = this.#token
    if (token === undefined || token.endsAtMs <= nowMs) return (await this.#fetch()).text
    if (token.renewAtMs <= nowMs) this.#fetch().catch(() => {}) // the old one is good for a while
    return token.text
  }

  /** The server did not take this one. */
  refused(text: string): void {
    if (this.#token?.text === text) this.#token = undefined
  }

  #fetch(): Promise<Token> {
    this.#fetching ??= this.#ask().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #ask(): Promise<Token> {
    const { tokenUrl } = this.#settings
    const answer = await this.#exchange(tokenRequest(this.#settings)).catch((cause: unknown) => {
      throw new RetryableError(
        'PEER_UNREACHABLE',
        `no token from ${placeOf({ url: tokenUrl }).origin}: ${messageOf(cause)}`,
        { cause },
      )
    })
    this.#token = tokenOf(answer, tokenUrl)
    return this.#token
  }
}

/** [RFC 6749 2.3.1, 4.4.2] */
function tokenRequest({ tokenUrl, clientId, clientSecret, scope, audience }: OauthSettings): Request {
  const { origin, path } = placeOf({ url: tokenUrl })
  const user = [clientId, clientSecret].map(formText).join(':')
  const form = new URLSearchParams({ grant_type: 'client_credentials' })
  if (scope !== undefined) form.set('scope', scope)
  if (audience !== undefined) form.set('audience', audience)
  // biome-ignore format: name and value in turn
  const headers = [
    'authorization', `Basic ${Buffer.from(user).toString('base64')}`,
    'content-type', 'application/x-www-form-urlencoded',
    'accept', 'application/json',
  ]
  const body = Buffer.from(form.toString())
  return { method: 'POST', origin, path, headers, body, timeoutMs: fetchMs, isGuarded: false, wantedBytes: mostBytes }
}

const formText = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1)

function tokenOf({ status, headers, body }: Answer, tokenUrl: string): Token {
  const { origin } = placeOf({ url: tokenUrl })
  if (status !== 200) {
    const code = status < 500 && status !== 429 ? 'CREDENTIALS_REFUSED' : 'PEER_UNREACHABLE'
    const afterMs = retryAfterMs(headerOf(headers, 'retry-after'))
    const text = `no token from ${origin}: it answered ${status}${errorWord(body)}`
    throw new RetryableError(code, text, afterMs === undefined ? {} : { retryAfterMs: afterMs })
  }
  const { access_token: text, expires_in: secs = usualSecs } = readJson(body)
  if (typeof text !== 'string' || !/^[\x21-\x7e]+$/.test(text)) {
    throw new RetryableError('CREDENTIALS_REFUSED', `no token from ${origin}: its answer holds none`)
  }
  const lastsMs = Math.max(1, Number(secs) || usualSecs) * 1_000
  const endsAtMs = performance.now() + lastsMs
  return { text, endsAtMs, renewAtMs: endsAtMs - Math.min(aheadMs, lastsMs * aheadShare) }
}

/** [RFC 6749 5.2] A word of a list, in which no secret stands. */
function errorWord(body: Buffer): string {
  const { error } = readJson(body)
  return typeof error === 'string' && /^[a-z_]{1,40}$/.test(error) ? ` ${error}` : ''
}

function readJson(body: Buffer): { access_token?: unknown; expires_in?: unknown; error?: unknown } {
  try {
    return Object(JSON.parse(body.toString()))
  } catch {
    return {}
  }
}
