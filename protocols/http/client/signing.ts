/** Signatures of requests, so that their receivers know whose they are. Pure. */
import { createHmac } from 'node:crypto'
import { encodeAttribute } from '../fields.ts'
import type { Layout } from '../listener/layouts.ts'

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

/** Secrets of Standard Webhooks are handed out as base64; those of others are the text itself, Stripe's prefix included. */
function keyOf(layout: Layout, secret: string): Buffer {
  return layout === 'standard' ? Buffer.from(secret.replace(/^whsec_/, ''), 'base64') : Buffer.from(secret)
}

function hmac(key: Buffer, start: string, body: Uint8Array): Buffer {
  return createHmac('sha256', key).update(start).update(body).digest()
}

/** What is wrong with a secret, or undefined. */
export function secretProblem({ layout, secret }: Signing): string | undefined {
  if (layout !== 'standard') return undefined
  const text = secret.replace(/^whsec_/, '')
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return 'a secret of Standard Webhooks is base64, such as whsec_MfKQ9r8G…'
  return Buffer.from(text, 'base64').length >= 16 ? undefined : 'a secret of Standard Webhooks has at least 24 bytes'
}
