/** Signatures of requests, so that their receivers know whose they are. Pure. */
import { createHmac } from 'node:crypto'
import { encodeAttribute } from '../fields.ts'
import { keyOf, type Layout } from '../listener/layouts.ts'

export interface Signing {
  readonly layout: Layout
  readonly secret: string
}

interface Signed {
  readonly id: string
  readonly body: Uint8Array
  readonly atSecs: number
}

/** The headers of a layout, of which the receiver sees that body and time are ours. */
export function signatureOf({ layout, secret }: Signing, signed: Signed): Record<string, string> {
  return headersOf[layout](keyOf(layout, secret), signed)
}

const headersOf: Readonly<Record<Layout, (key: Buffer, signed: Signed) => Record<string, string>>> = {
  standard: (key, { id, body, atSecs }) => {
    const shownId = encodeAttribute(id)
    const signature = hmac(key, `${shownId}.${atSecs}.`, body).toString('base64')
    return { 'webhook-id': shownId, 'webhook-timestamp': String(atSecs), 'webhook-signature': `v1,${signature}` }
  },
  github: (key, { body }) => ({ 'x-hub-signature-256': `sha256=${hmac(key, '', body).toString('hex')}` }),
  stripe: (key, { body, atSecs }) => ({
    'stripe-signature': `t=${atSecs},v1=${hmac(key, `${atSecs}.`, body).toString('hex')}`,
  }),
}

function hmac(key: Buffer, start: string, body: Uint8Array): Buffer {
  return createHmac('sha256', key).update(start).update(body).digest()
}

/** What is wrong with a secret, or undefined. */
export function secretProblem({ layout, secret }: Signing): string | undefined {
  if (layout !== 'standard' || !secret.startsWith('whsec_')) return undefined
  const isBase64 = /^whsec_[A-Za-z0-9+/]+={0,2}$/.test(secret)
  return isBase64 ? undefined : 'behind `whsec_` stands base64, such as whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
}

/** Messages that failed, and when they were signed last: more than are tried again at a time. */
const mostRemembered = 10_000

/** Times for signatures. Receivers take a signature once, so that of a request that comes again is of a later second. */
export class SignatureClock {
  readonly #lastOf = new Map<string, number>()

  secsFor(id: string, nowEpochMs = Date.now()): number {
    const nowSecs = Math.floor(nowEpochMs / 1_000)
    const last = this.#lastOf.size === 0 ? undefined : this.#lastOf.get(id)
    return last === undefined ? nowSecs : Math.max(nowSecs, last + 1)
  }

  /** It may have arrived, and comes again. */
  failed(id: string, atSecs: number): void {
    if (this.#lastOf.size >= mostRemembered) this.#lastOf.clear()
    this.#lastOf.set(id, atSecs)
  }

  answered(id: string): void {
    if (this.#lastOf.size > 0) this.#lastOf.delete(id)
  }
}
