/** Whom a client's certificate names. */
import type { Socket } from 'node:net'
import { type PeerCertificate, TLSSocket } from 'node:tls'

export const identities = ['cn', 'san'] as const
export type Identity = (typeof identities)[number]

/** A verified certificate's name, '' where it has none; undefined for a connection that shows no certificate. */
export function certifiedName(socket: Socket, identity: Identity | undefined): string | undefined {
  if (identity === undefined || !(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const certificate = socket.getPeerCertificate()
  return identity === 'cn' ? commonName(certificate) : alternativeName(certificate.subjectaltname)
}

/** Of several common names none: which would be meant? */
function commonName({ subject }: PeerCertificate): string {
  const name: unknown = subject?.CN
  return typeof name === 'string' ? name : ''
}

/** The first DNS name, mail address or URI, in this order. */
export function alternativeName(text: string | undefined): string {
  // sticky: a value that holds `DNS:` is no name
  const names = [...(text ?? '').matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/gy)]
  for (const kind of ['DNS', 'email', 'URI']) {
    const found = names.find(([, each]) => each === kind)?.[2]
    if (found !== undefined) return found.startsWith('"') ? String(JSON.parse(found)) : found
  }
  return ''
}
