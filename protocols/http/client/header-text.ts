/** Headers that a user's own texts make. Pure. */

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Written by the client itself. */
const clientHeaders: ReadonlySet<string> = new Set([
  ...['connection', 'content-length', 'expect', 'host', 'keep-alive', 'proxy-connection'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'],
])

/** What is wrong with the name of a header that a user sets, or undefined. */
export function headerNameProblem(name: string): string | undefined {
  if (!token.test(name)) return 'expected the name of a header, such as x-api-key'
  return clientHeaders.has(name.toLowerCase()) ? `\`${name}\` belongs to the connection itself` : undefined
}

/** Beyond visible ASCII and spaces within a value is percent-encoded: no message ends a header and begins another. */
export function headerValue(text: string): string {
  return text
    .trim()
    .toWellFormed()
    .replaceAll(/[^\x20-\x7e]+/g, encodeURIComponent)
}

/** The headers with others put in place of those of the same name. Name and value in turn. */
export function withHeaders(headers: readonly string[], others: Readonly<Record<string, string>>): string[] {
  const names = new Set(Object.keys(others).map((name) => name.toLowerCase()))
  if (names.size === 0) return [...headers]
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if (!names.has(headers[i]!.toLowerCase())) kept.push(headers[i]!, headers[i + 1]!)
  }
  for (const [name, text] of Object.entries(others)) kept.push(name, headerValue(text))
  return kept
}
