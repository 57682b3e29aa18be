/** What the errors of TLS mean to whoever wrote the configuration: one text for all protocols. */
import { messageOf } from '../errors.ts'

/** The text of an error, and behind it what to do where it comes from TLS. */
export function withTlsHint(error: unknown): string {
  const text = messageOf(error)
  const hint = hintOf(String((Object(error) as { code?: unknown }).code ?? ''), text)
  return hint === undefined ? text : `${text}; ${hint}`
}

/** What to ask where a peer hangs up without a word before it has answered; `secure` is how its TLS is asked for. */
export function hungUpHint(protocol: string, isSecure: boolean, secure: string): string {
  return isSecure
    ? `does this port speak ${protocol} over TLS, does it want another client certificate?`
    : `does it speak ${protocol}, does it want TLS (${secure})?`
}

function hintOf(code: string, text: string): string | undefined {
  const words = `${code} ${text}`
  return hints.find(([pattern]) => pattern.test(words))?.[1]
}

/** By the codes of Node and OpenSSL 3; what a driver wraps keeps OpenSSL's words in its text. */
const hints: readonly (readonly [RegExp, string])[] = [
  [/ERR_TLS_CERT_ALTNAME_INVALID/, 'tls.serverName sets the name to expect'],
  [/CERT_HAS_EXPIRED/, 'its certificate has expired: renew it there, or set the clock of this machine right'],
  [/CERT_NOT_YET_VALID/, 'its certificate is not valid yet: is the clock of this machine right?'],
  [/CERT_REVOKED/, 'its certificate was revoked'],
  [
    /\b[A-Z_]*(SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|CERT_(UNTRUSTED|REJECTED|SIGNATURE))[A-Z_]*\b/,
    'does tls.ca name the authority of its certificate?',
  ],
  [
    /WRONG_VERSION_NUMBER|wrong version number|PACKET_LENGTH_TOO_LONG|packet length too long|disconnected before secure TLS/,
    'does this port speak TLS?',
  ],
  [
    /CERTIFICATE_REQUIRED|certificate required|alert handshake failure|ALERT_HANDSHAKE_FAILURE/,
    'it may want a client certificate: tls.cert and tls.key',
  ],
  [
    /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_(EXPIRED|UNKNOWN|REVOKED)|UNSUPPORTED_CERTIFICATE)|alert (unknown ca|bad certificate|certificate (expired|unknown|revoked)|unsupported certificate)/,
    'it does not accept the certificate of tls.cert',
  ],
  [/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|protocol version|unsupported protocol/, 'it speaks no TLS from 1.2 on'],
  [/KEY_VALUES_MISMATCH|key values mismatch/, 'tls.key does not belong to tls.cert'],
  [
    /BAD_PASSWORD_READ|BAD_DECRYPT|INTERRUPTED_OR_CANCELLED|bad decrypt|bad password read|interrupted or cancelled/,
    'tls.key is encrypted: store it decrypted, readable by this user alone',
  ],
  [
    /NO_START_LINE|no start line|ERR_OSSL_(PEM|ASN1|UNSUPPORTED|X509)|DECODER routines::unsupported/,
    'a file of tls is not PEM',
  ],
]
