/** Who we are to the servers of a connection, and that none of it is shown. */
import type { HttpClientConnection } from '../target.ts'
import type { Answer, Request } from './exchange.ts'
import { Tokens } from './tokens.ts'

export type AuthHeaders = Readonly<Record<string, string>>
const none: AuthHeaders = Object.freeze({})

export class Credentials {
  readonly #fixed: AuthHeaders
  readonly #tokens: Tokens | undefined
  readonly #secrets: readonly string[]

  constructor({ auth, sign }: HttpClientConnection, exchange: (request: Request) => Promise<Answer>) {
    this.#fixed = fixedHeaders(auth)
    this.#tokens = auth?.oauth && new Tokens(auth.oauth, exchange)
    const written = [auth?.token, auth?.user?.password, auth?.header?.value, auth?.oauth?.clientSecret, sign?.secret]
    const sent = Object.values(this.#fixed).map((text) => text.replace(/^(Basic|Bearer) /, ''))
    this.#secrets = [...written, ...sent].filter((text) => text !== undefined)
  }

  /** True where another try may have other credentials. */
  get areRenewable(): boolean {
    return this.#tokens !== undefined
  }

  /** Throws a RetryableError that is an outage where there is no token. */
  async headers(): Promise<AuthHeaders> {
    return this.#tokens === undefined ? this.#fixed : bearer(await this.#tokens.text())
  }

  /** The server did not take these. */
  refused({ authorization = '' }: AuthHeaders): void {
    this.#tokens?.refused(authorization.replace('Bearer ', ''))
  }

  /** A server's text, in which it may have put what we sent, without our secrets. */
  hide(text: string, { authorization = '' }: AuthHeaders = none): string {
    const secrets = [...this.#secrets, authorization.replace(/^\w+ /, '')].filter((secret) => secret !== '')
    return secrets.reduce((shown, secret) => shown.replaceAll(secret, '***'), text)
  }
}

function fixedHeaders(auth: HttpClientConnection['auth']): AuthHeaders {
  if (auth?.token !== undefined) return bearer(auth.token)
  if (auth?.header !== undefined) return { [auth.header.name.toLowerCase()]: auth.header.value }
  if (auth?.user === undefined) return none
  const { username, password } = auth.user
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

const bearer = (token: string): AuthHeaders => ({ authorization: `Bearer ${token}` })
