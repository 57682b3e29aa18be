/** The custom header that says how a body is compressed: AMQP's `content_encoding`, and HTTP's name for it elsewhere. */
export const contentEncoding = 'content-encoding'

/** What leaves a body as it is; some senders name their character set here. */
const plain = /^\s*(identity|utf-?8|us-ascii)?\s*$/i

/** True where a body is no text as it stands, whatever its content type says: `gzip`, `zstd`, `base64`. */
export function isEncoded(headers: Readonly<Record<string, unknown>>): boolean {
  const encoding = headers[contentEncoding]
  return encoding !== undefined && encoding !== null && (typeof encoding !== 'string' || !plain.test(encoding))
}
