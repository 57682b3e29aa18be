/**
 * Where a peer is. The only code that takes such a text apart, and the only code that shows one: a broken address may
 * hold a password anywhere, so what stands behind `://` and up to the last `@` is never shown, and no message quotes it.
 */
import { isIPv6 } from 'node:net'
import { PermanentError } from '../errors.ts'

export interface HostPort {
  /** Without the brackets of IPv6. */
  readonly host: string
  readonly port: number
}

/** `scheme://username:password@host:port/path?query`, its parts as they are meant. */
export interface Address {
  /** In lower case, without `:`. */
  readonly scheme: string
  /** Without the brackets of IPv6. */
  readonly host: string
  /** undefined: the scheme's own. */
  readonly port: number | undefined
  /** Decoded; undefined where the address names none. */
  readonly username: string | undefined
  readonly password: string | undefined
  /** As it is written, from `/` on, non-ASCII percent-encoded; empty where there is none. */
  readonly path: string
  /** As it is written, without `?`; empty where there is none. */
  readonly query: string
}

/** Throws PermanentError CONFIG_INVALID; its message names no part of the address. A port to listen on may be 0. */
export function parseAddress(text: string, leastPort: 0 | 1 = 1): Address {
  const { scheme, authority, tail } = split(text)
  const at = authority.lastIndexOf('@')
  const [path = '', query = ''] = tail.split(/\?(.*)/s)
  return {
    scheme: scheme.toLowerCase(),
    ...hostAndPort(authority.slice(at + 1), leastPort),
    ...(at < 0 ? nobody : userAndPassword(authority.slice(0, at))),
    path: encodeNonAscii(path),
    query: encodeNonAscii(query),
  }
}

export interface AddressRule {
  /** In lower case, without `:`. */
  readonly schemes: readonly string[]
  readonly example: string
  /** 0 for an address to listen on: the system chooses. */
  readonly leastPort?: 0 | 1
}

/** What is wrong with an address, or undefined. Says nothing of what stands in it. */
export function addressProblem(text: string, { schemes, example, leastPort = 1 }: AddressRule): string | undefined {
  const scheme = /^([a-z]+):\/\//i.exec(text)?.[1]?.toLowerCase() ?? ''
  if (schemes.includes(scheme)) return problemOf(() => parseAddress(text, leastPort))
  const known = schemes.map((name) => `${name}://`)
  return `expected ${known.slice(0, -1).join(', ')} or ${known.at(-1)} with a host, e.g. ${example}`
}

/** A password under its own key belongs to a user, who may stand in the address. */
export function passwordProblems(connection: {
  readonly url?: string | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
}): { path: string[]; message: string }[] {
  const { url, username, password } = connection
  const user = username ?? (url === undefined ? undefined : parseAddress(url).username)
  return password === undefined || user !== undefined
    ? []
    : [{ path: ['password'], message: 'a password requires a username' }]
}

/** `host:port`, as the brokers of a cluster and what the admin interface listens on are written. Throws as `parseAddress`. */
export function parseHostPort(text: string, leastPort: 0 | 1 = 1): HostPort {
  if (/[@/?#]/.test(text)) throw broken('expected host:port')
  const { host, port } = hostAndPort(text, leastPort)
  if (port === undefined) throw broken('expected host:port')
  return { host, port }
}

/** What is wrong with a `host:port`, or undefined. */
export function hostPortProblem(text: string, leastPort: 0 | 1 = 1): string | undefined {
  return problemOf(() => parseHostPort(text, leastPort))
}

/** An address for people: `scheme://host:port`, of which nothing can be secret. */
export function shownAddress(address: string | Pick<Address, 'scheme' | 'host' | 'port'>): string {
  if (typeof address !== 'string') return `${address.scheme}://${shownHostPort(address)}`
  try {
    return shownAddress(parseAddress(address))
  } catch {
    return address.includes('://') ? `${address.slice(0, address.indexOf('://'))}://***` : '***'
  }
}

export function shownHostPort({ host, port }: { readonly host: string; readonly port: number | undefined }): string {
  return `${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`
}

/** A text in which somebody else may have put an address: without the users and passwords in it. */
export function hideAddresses(text: string): string {
  return text.includes('@') ? text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)\S*@/gi, '$1***@') : text
}

/** Where in a text users and passwords of addresses may stand: from each `://` to the last `@`. */
export function secretPart(text: string): { readonly offset: number; readonly length: number } | undefined {
  const scheme = /:\/\//.exec(text)
  const end = text.lastIndexOf('@')
  const offset = scheme === null ? 0 : scheme.index + 3
  return end > offset ? { offset, length: end - offset } : undefined
}

const instead = 'or use the keys `username` and `password`'
const nobody = { username: undefined, password: undefined }

function split(text: string): { scheme: string; authority: string; tail: string } {
  const [, scheme, rest] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/s.exec(text) ?? []
  if (scheme === undefined || rest === undefined) throw broken('expected scheme://host:port')
  if (/[\p{Cc}\p{Cf}\p{Z}]/u.test(rest))
    throw broken(`the address has white space or a control character: percent-encode it, ${instead}`)
  const end = rest.search(/[/?#]/)
  const [authority, tail] = end < 0 ? [rest, ''] : [rest.slice(0, end), rest.slice(end)]
  if (tail.includes('@')) {
    throw broken(
      `the address has a \`/\`, \`?\` or \`#\` before its \`@\`: percent-encode it (%2F, %3F, %23), ${instead}`,
    )
  }
  if (tail.includes('#')) throw broken('the address has a `#`: percent-encode it (%23)')
  return { scheme, authority, tail }
}

function userAndPassword(text: string): { username: string; password: string | undefined } {
  const colon = text.indexOf(':')
  const username = decode(colon < 0 ? text : text.slice(0, colon))
  if (username === '') throw broken('the address has a password but no user name')
  if (colon === text.length - 1) throw broken('the address has an empty password: fill it in, or remove its `:`')
  return { username, password: colon < 0 ? undefined : decode(text.slice(colon + 1)) }
}

function decode(text: string): string {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) {
    throw broken(`the address has a \`%\` in the user name or password that starts no escape: write %25, ${instead}`)
  }
  try {
    return decodeURIComponent(text)
  } catch {
    throw broken(`the user name or password has escapes that are not UTF-8: ${instead.replace('or ', '')}`)
  }
}

function hostAndPort(text: string, leastPort: 0 | 1): { host: string; port: number | undefined } {
  const [, bracketed, name = '', digits] = /^(?:\[(.*)\]|([^:]*))(?::(.*))?$/s.exec(text) ?? []
  if (digits?.includes(':') || (bracketed !== undefined && !isIPv6(bracketed))) throw broken(notIPv6)
  const host = bracketed ?? name
  if (host === '') throw broken('the address has no host')
  if (bracketed === undefined && !hostName.test(host))
    throw broken('the host contains a character that is not allowed in host names')
  return { host, port: digits === undefined ? undefined : portOf(digits, leastPort) }
}

const hostName = /^[\p{L}\p{N}._-]+$/u
const notIPv6 = 'not a valid host; write an IPv6 address in brackets, e.g. [::1]:1883'

function portOf(digits: string, leastPort: 0 | 1): number {
  if (!/^\d+$/.test(digits)) throw broken('the port is not a number')
  const port = Number(digits)
  if (port < leastPort || port > 65_535) throw broken(`port ${digits} is not within ${leastPort}-65535`)
  return port
}

function encodeNonAscii(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]+/gu, encodeURIComponent)
}

function problemOf(parse: () => unknown): string | undefined {
  try {
    parse()
    return undefined
  } catch (error) {
    if (!(error instanceof PermanentError)) throw error
    return error.message
  }
}

function broken(message: string): PermanentError {
  return new PermanentError('CONFIG_INVALID', message)
}
