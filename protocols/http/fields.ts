/** Header fields of HTTP: which are its own, and what a value may hold. Pure. */
import { isUtf8 } from 'node:buffer'

/** They belong to one connection or one exchange, are secrets, or fields of the envelope: never custom headers, in or out. */
const ownNames: ReadonlySet<string> = new Set([
  // of the connection
  ...[
    'connection',
    'keep-alive',
    'proxy-connection',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
    'http2-settings',
  ],
  // of this exchange
  ...[
    'host',
    'content-length',
    'content-type',
    'expect',
    'date',
    'server',
    'prefer',
    'retry-after',
    'location',
    'allow',
  ],
  ...['accept', 'accept-charset', 'accept-encoding', 'accept-language', 'range', 'alt-svc', 'vary', 'etag'],
  ...['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range'],
  ...['origin', 'referer', 'sec-fetch-site', 'sec-fetch-mode', 'sec-fetch-dest', 'sec-fetch-user'],
  // secrets, and what proves one
  ...[
    'authorization',
    'proxy-authorization',
    'proxy-authenticate',
    'www-authenticate',
    'cookie',
    'set-cookie',
    'x-api-key',
  ],
  ...['webhook-timestamp', 'webhook-signature', 'x-hub-signature', 'x-hub-signature-256', 'stripe-signature'],
  // fields of the envelope
  ...['idempotency-key', 'webhook-id', 'x-correlation-id', 'trivium-hops'],
])

/** What pages of others may read is the listener's to say (`cors`), not a message's. */
const crossOrigin = 'access-control-'

/** True for a field that is no custom header. */
export function isOwnName(name: string): boolean {
  return ownNames.has(name) || name.startsWith(crossOrigin)
}

/** True for what every hop passes on as it is: visible ASCII, with spaces inside only. */
export function isFieldText(text: string): boolean {
  return text === '' || plain.test(text)
}

const plain = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/** The text of a field's bytes, which Node gives as Latin-1: UTF-8 where they are that. */
export function receivedText(latin: string): string {
  if (!beyondAscii.test(latin)) return latin
  const bytes = Buffer.from(latin, 'latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : latin
}

const beyondAscii = /[\x80-\xff]/

/** [CloudEvents HTTP 3.1.3.2] Percent-encoded but for visible ASCII without `"` and `%`. */
export function encodeAttribute(text: string): string {
  return toEncode.test(text) ? text.toWellFormed().replaceAll(allToEncode, encodeURIComponent) : text
}

const toEncode = /[^\x21\x23\x24\x26-\x7e]/
const allToEncode = /[^\x21\x23\x24\x26-\x7e]+/g

/** Throws URIError where escapes are no UTF-8. Old senders put the value in quotes; some write a `%` that begins no escape. */
export function decodeAttribute(text: string): string {
  const quoted = text.length > 1 && text.startsWith('"') && text.endsWith('"')
  const bare = quoted ? text.slice(1, -1).replaceAll(/\\(.)/g, '$1') : text
  return bare.includes('%') && !noEscape.test(bare) ? decodeURIComponent(bare) : bare
}

const noEscape = /%(?![0-9A-Fa-f]{2})/
