/** What a configuration names on the disk: read within bounds, and only where nobody else can. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { protocols } from '../../../protocols/index.ts'
import { loadConfigFile } from '../../../src/config/load.ts'
import { renderDiagnostics } from '../../../src/config/report/render.ts'

const folder = mkdtempSync(join(tmpdir(), 'trivium-files-'))
afterAll(() => rmSync(folder, { recursive: true }))

function place(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

/** What is said of a connection with these settings. */
function told(settings: string): string {
  const text = `connections:\n  a: { protocol: amqp, url: "amqps://h", username: u, ${settings} }\nroutes: []\n`
  const loaded = loadConfigFile(place('trivium.yaml', text), { env: {}, protocols })
  return renderDiagnostics(
    loaded.diagnostics.filter(({ code }) => code !== 'TRV4003'),
    text,
  )
}

test('what has no end or waits for somebody is told at once, wherever a file may be named', () => {
  execFileSync('mkfifo', [join(folder, 'pipe')])
  mkdirSync(join(folder, 'directory'))
  place('large', 'x'.repeat(5 * 1024 ** 2))
  for (const [path, why] of [
    ['/dev/zero', 'it is a pipe or a device, not a file'],
    [join(folder, 'pipe'), 'it is a pipe or a device, not a file'],
    ['pipe', 'it is a pipe or a device, not a file'],
    [join(folder, 'directory'), 'it is a directory'],
    [join(folder, 'large'), 'it is larger than 4 MiB'],
  ] as const) {
    expect(told(`password: "\${file:${path}}"`)).toContain(`TRV1007]: file \`${path}\` cannot be read: ${why}`)
    expect(told(`password: "\${file:${path}}"`)).not.toContain('chmod')
    if (path.startsWith('/')) expect(told(`password: x, tls: { ca: ${path} }`)).toContain(`cannot be read: ${why}`)
  }
})

test('a configuration without end is told', () => {
  expect(() => loadConfigFile('/dev/zero', { env: {}, protocols })).toThrow(
    '/dev/zero cannot be read: it is larger than 4 MiB',
  )
})

test('a file with a secret that all can read is warned of, the key of a certificate too', () => {
  const [open, closed] = [place('open', 'hunter2', 0o644), place('closed', 'hunter2')]
  expect(told(`password: "\${file:${closed}}", tls: { cert: ${open}, key: ${closed} }`)).toBe('')
  const said = told(`password: "\${file:open}", tls: { key: ${open}, cert: ${open} }`)
  expect(said).toContain(
    `\`password\` in connection \`a\` (amqp): file \`${open}\` can be read by every user of this machine`,
  )
  expect(said).toContain(`\`key\` in \`tls\` of connection \`a\` (amqp): file \`${open}\` can be read`)
  expect(said).toContain(`help: chmod 600 ${open}`)
  expect(said).toContain('2 warnings')
  expect(said).not.toContain('hunter2')
})

test('a file that holds no secret may be read by all', () => {
  place('queues', 'a\nb\n', 0o644)
  const text = `connections:
  a: { protocol: amqp, url: "\${file:url}" }
  k: { protocol: kafka, brokers: ["\${file:brokers}"] }
routes: [{ name: r, from: { connection: a, queue: q }, to: [{ connection: a, queue: "{payload.q}", allow: ["\${file:queues}"] }] }]
`
  place('url', 'amqp://h', 0o644)
  place('brokers', 'h:9092', 0o644)
  const codes = () =>
    loadConfigFile(place('trivium.yaml', text), { env: {}, protocols }).diagnostics.map(({ code }) => code)
  expect(codes()).not.toContain('TRV4006')
  place('url', 'amqp://u:hunter2@h', 0o644)
  expect(codes()).toContain('TRV4006')
})
