/** Webhook signatures: HMAC-SHA256 over the raw body, compared in constant time. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { HttpListenerConnection } from './config.ts'
import { keyOf, type Layout } from './layouts.ts'

type Settings = NonNullable<NonNullable<HttpListenerConnection['auth']>['signatures']>[number]

/** What a request claims to be signed with. */
interface Claim {
  /** Seconds since 1970; undefined where the layout has no time. */
  readonly time: string | undefined
  /** Stands before the body in what was signed. */
  readonly before: string
  /** Any one of them may be the right one. */
  readonly signatures: readonly Buffer[]
}

export interface Proof {
  /** The same for the same signature, of a layout with a time: it counts once. */
  readonly onceOnly: string | undefined
  /** How long it could be shown again, in milliseconds. */
  readonly toleranceMs: number
}

/** What one sender signs with. */
export class Signature {
  readonly #layout: Layout
  readonly #toleranceMs: number
  readonly #keys: readonly Buffer[]

  constructor({ layout, secrets, tolerance }: Settings) {
    this.#layout = layout
    this.#toleranceMs = tolerance
    this.#keys = secrets.map((secret) => keyOf(layout, secret))
  }

  /** True where a request brings the headers of its layout. */
  isClaimedBy(headers: IncomingHttpHeaders): boolean {
    return headers[signatureHeaders[this.#layout]] !== undefined
  }

  /** Undefined: it has not signed this, or too long ago. */
  check(headers: IncomingHttpHeaders, body: Uint8Array, nowMs: number): Proof | undefined {
    const claim = claims[this.#layout](headers)
    if (claim === undefined || !this.#isOfNow(claim, nowMs)) return undefined
    const found = this.#keys.flatMap((key) => {
      const expected = createHmac('sha256', key).update(claim.before).update(body).digest()
      return claim.signatures.some((each) => isSame(each, expected)) ? [expected.toString('base64')] : []
    })
    if (found[0] === undefined) return undefined
    return { onceOnly: claim.time === undefined ? undefined : found[0], toleranceMs: this.#toleranceMs }
  }

  #isOfNow({ time }: Claim, nowMs: number): boolean {
    if (time === undefined) return true
    return /^\d{1,12}$/.test(time) && Math.abs(nowMs - Number(time) * 1000) <= this.#toleranceMs
  }
}

const signatureHeaders: Readonly<Record<Layout, string>> = {
  standard: 'webhook-signature',
  github: 'x-hub-signature-256',
  stripe: 'stripe-signature',
}

const claims: Readonly<Record<Layout, (headers: IncomingHttpHeaders) => Claim | undefined>> = {
  // https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
  standard: (headers) => {
    const [id, time] = [text(headers, 'webhook-id'), text(headers, 'webhook-timestamp')]
    if (id === '' || time === '') return undefined
    const signed = text(headers, 'webhook-signature').split(' ')
    return {
      time,
      before: `${id}.${time}.`,
      signatures: ofVersion(signed, 'v1,').map((each) => Buffer.from(each, 'base64')),
    }
  },
  github: (headers) => {
    const signed = [text(headers, 'x-hub-signature-256')]
    return {
      time: undefined,
      before: '',
      signatures: ofVersion(signed, 'sha256=').map((each) => Buffer.from(each, 'hex')),
    }
  },
  // https://docs.stripe.com/webhooks#verify-manually
  stripe: (headers) => {
    const parts = text(headers, 'stripe-signature')
      .split(',')
      .map((part) => part.trim())
    const [time] = ofVersion(parts, 't=')
    if (time === undefined) return undefined
    return { time, before: `${time}.`, signatures: ofVersion(parts, 'v1=').map((each) => Buffer.from(each, 'hex')) }
  },
}

const text = (headers: IncomingHttpHeaders, name: string): string => String(headers[name] ?? '')

/** More than a sender has secrets: a request may not choose how much is compared. */
const mostSignatures = 8

function ofVersion(parts: readonly string[], mark: string): string[] {
  return parts
    .filter((part) => part.startsWith(mark))
    .slice(0, mostSignatures)
    .map((part) => part.slice(mark.length))
}

const isSame = (one: Buffer, other: Buffer) => one.byteLength === other.byteLength && timingSafeEqual(one, other)
