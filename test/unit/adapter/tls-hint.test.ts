import { expect, test } from '@jest/globals'
import { withTlsHint } from '../../../src/adapter/tls-hint.ts'

const error = (code: string, message: string) => Object.assign(new Error(message), { code })

// as OpenSSL 3 and the drivers word them; test/integration/tls-errors.test.ts has those that a peer here can produce
test.each([
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'tlsv1 alert unknown ca', 'it does not accept the certificate of tls.cert'],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'sslv3 alert bad certificate', 'it does not accept the certificate'],
  ['', 'Connection error: 0A000418:SSL routines::tlsv1 alert unknown ca', 'it does not accept the certificate'],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'certificate required', 'it may want a client certificate'],
  [
    'CERT_NOT_YET_VALID',
    'certificate is not yet valid',
    'its certificate is not valid yet: is the clock of this machine right?',
  ],
  ['CERT_REVOKED', 'certificate revoked', 'its certificate was revoked'],
  ['ERR_OSSL_PEM_NO_START_LINE', 'no start line', 'a file of tls is not PEM'],
])('%s, %s: %s', (code, message, hint) => {
  expect(withTlsHint(error(code, message))).toContain(`${message}; ${hint}`)
})

test.each([
  ['ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:1'],
  ['ENOTFOUND', 'getaddrinfo ENOTFOUND host'],
])('%s is no error of TLS', (code, message) => {
  expect(withTlsHint(error(code, message))).toBe(message)
})
