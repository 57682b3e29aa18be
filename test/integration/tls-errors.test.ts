/** What a TLS error means to whoever wrote the configuration, the same for every protocol: real handshakes, no broker. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { protocols } from '../../protocols/index.ts'
import { messageOf } from '../../src/errors.ts'
import { testContext } from '../support/contexts/context.ts'

const folder = mkdtempSync(join(tmpdir(), 'trivium-tls-'))
const file = (name: string) => join(folder, name)
const servers: net.Server[] = []
const ports: Record<string, number> = {}

/** A key and a certificate of its own signature. */
function certificate(name: string, subject: string, ...days: string[]): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', subject, '-keyout', `${name}.key`, '-out', `${name}.csr`)
  openssl('x509', '-req', '-in', `${name}.csr`, '-signkey', `${name}.key`, ...days, '-out', `${name}.crt`)
}

async function listen(name: string, server: net.Server): Promise<void> {
  servers.push(server)
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ports[name] = (server.address() as net.AddressInfo).port
}

const secure = (name: string, more: tls.TlsOptions = {}) =>
  tls.createServer(
    { key: readFileSync(file(`${name}.key`)), cert: readFileSync(file(`${name}.crt`)), ...more },
    (socket) => socket.on('error', () => {}),
  )

beforeAll(async () => {
  certificate('right', '/CN=localhost', '-days', '2')
  certificate('other', '/CN=elsewhere.test', '-days', '2')
  certificate('expired', '/CN=localhost', '-days', '-1')
  execFileSync('openssl', ['rsa', '-aes128', '-passout', 'pass:hunter2', '-in', 'right.key', '-out', 'locked.key'], {
    cwd: folder,
    stdio: 'ignore',
  })
  writeFileSync(file('text.pem'), 'this is no certificate')
  await listen('right', secure('right'))
  await listen('other', secure('other'))
  await listen('expired', secure('expired'))
  await listen(
    'wantsCertificate',
    secure('right', { requestCert: true, rejectUnauthorized: true, ca: readFileSync(file('right.crt')) }),
  )
  await listen('old', secure('right', { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }))
  await listen(
    'plain',
    net.createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n')),
  )
  await listen(
    'mute',
    net.createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end())),
  )
})

afterAll(() => {
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true })
})

const trusting = { ca: 'right.crt' }
const cases: readonly (readonly [string, string, Record<string, string>, string])[] = [
  ['an authority that is not trusted', 'right', {}, 'does tls.ca name the authority of its certificate?'],
  ['another authority', 'right', { ca: 'other.crt' }, 'does tls.ca name the authority of its certificate?'],
  ['another name', 'other', { ca: 'other.crt' }, 'tls.serverName sets the name to expect'],
  ['a certificate that has expired', 'expired', { ca: 'expired.crt' }, 'its certificate has expired'],
  ['a port without TLS', 'plain', trusting, 'does this port speak TLS?'],
  ['a port without TLS that hangs up', 'mute', trusting, 'does this port speak TLS?'],
  ['a peer that speaks old TLS', 'old', trusting, 'it speaks no TLS from 1.2 on'],
  ['a peer that wants a client certificate', 'wantsCertificate', trusting, 'tls.cert and tls.key'],
  [
    'a key of another certificate',
    'right',
    { ...trusting, cert: 'right.crt', key: 'other.key' },
    'is not the key of the certificate',
  ],
  ['an encrypted key', 'right', { ...trusting, cert: 'right.crt', key: 'locked.key' }, 'tls.key is encrypted'],
  [
    'a file that is no certificate',
    'right',
    { ...trusting, cert: 'text.pem', key: 'right.key' },
    'a file of tls is not PEM',
  ],
]

const settingsOf: Readonly<Record<string, (port: number) => object>> = {
  mqtt: (port) => ({ url: `mqtts://localhost:${port}` }),
  'mqtt over wss': (port) => ({ url: `wss://localhost:${port}/mqtt` }),
  amqp: (port) => ({ url: `amqps://localhost:${port}` }),
  kafka: (port) => ({ brokers: [`localhost:${port}`] }),
}

describe.each(Object.keys(settingsOf))('%s', (kind) => {
  test.each(cases)('%s', async (_title, server, tlsFiles, hint) => {
    const protocol = protocols.find(({ name }) => name === kind.split(' ')[0])
    const paths = Object.fromEntries(Object.entries(tlsFiles).map(([key, name]) => [key, file(name)]))
    const settings = protocol?.connection.parse({ ...settingsOf[kind]?.(ports[server] ?? 0), tls: paths })
    const sink = protocol?.sink?.create(settings, testContext('c'))
    const failure = await sink?.open(new AbortController().signal).then(() => 'connected', messageOf)
    await sink?.close()
    expect(failure).toContain(hint)
    expect(failure).not.toContain('hunter2')
  })
})

const plainOf: Readonly<Record<string, (port: number) => object>> = {
  mqtt: (port) => ({ url: `mqtt://localhost:${port}` }),
  'mqtt over ws': (port) => ({ url: `ws://localhost:${port}/mqtt` }),
  amqp: (port) => ({ url: `amqp://localhost:${port}` }),
  kafka: (port) => ({ brokers: [`localhost:${port}`], connectTimeout: '2s' }),
}

test.each(Object.keys(plainOf))('%s without TLS to a port that wants it', async (kind) => {
  const protocol = protocols.find(({ name }) => name === kind.split(' ')[0])
  const settings = protocol?.connection.parse(plainOf[kind]?.(ports.right ?? 0))
  const sink = protocol?.sink?.create(settings, testContext('c'))
  const failure = await sink?.open(new AbortController().signal).then(() => 'connected', messageOf)
  await sink?.close()
  expect(failure).toContain('does it want TLS')
})
