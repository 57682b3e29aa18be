/** Twenty-two secrets in odd shapes, in every place a configuration has for one, through the real program: not one is shown. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { freePorts } from '../support/ports.ts'
import { registerCleanups } from '../unit/cli/cleanups.ts'
import { startTrivium, trivium } from '../unit/cli/command.ts'
import { folderWith } from '../unit/cli/files.ts'

const afterwards = registerCleanups()

const core = (n: number): string => `c4naryS3cret${String(n).padStart(2, '0')}`
const shapes: readonly ((c: string) => string)[] = [
  (c) => `a/${c}`,
  (c) => `${c}?b=${c}`,
  (c) => `a#${c}`,
  (c) => `a@${c}@b`,
  (c) => `100%${c}`,
  (c) => `%ff${c}`,
  (c) => `a b ${c} `,
  (c) => `"${c}"`,
  (c) => `'${c}'`,
  (c) => `\\${c}\\n`,
  (c) => `{${c}}`,
  (c) => `[${c}]`,
  (c) => `!${c}`,
  (c) => `*${c}`,
  (c) => `&${c}`,
  (c) => `one\n${c}`,
  (c) => `\u202e${c}\u2028`,
  (c) => `größe€${c}`,
  (c) => `:${c}:`,
  (c) => `://x:${c}@y`,
  (c) => `${'x'.repeat(3_000)}${c}`,
  (c) => `abc #${c}`,
]
const secrets = shapes.map((shape, n) => shape(core(n)))
/** What SASL PLAIN and HTTP basic make of them: whatever stands around, the middle of the base64 is one of three. */
const base64Of = (text: string) =>
  ['', 'x', 'xx'].map((shift) =>
    Buffer.from(shift + text)
      .toString('base64')
      .slice(4, -4),
  )
const spellings = secrets.flatMap((_, n) => [core(n), ...base64Of(core(n))])

function expectNoSecret(output: string): void {
  const hits = spellings.filter((spelling) => output.includes(spelling))
  expect(hits.map((hit) => output.slice(Math.max(0, output.indexOf(hit) - 200), output.indexOf(hit) + 40))).toEqual([])
}

const env = Object.fromEntries(secrets.map((secret, n) => [`SECRET_${n}`, secret]))
const encoded = Object.fromEntries(secrets.map((secret, n) => [`ENCODED_${n}`, encodeURIComponent(secret)]))
const key = (n: number) => `password: "\${env:SECRET_${n}}"`
const inUrl = (n: number) => `user:\${env:ENCODED_${n}}`

interface Ports {
  readonly house: number
  readonly dead: number
  readonly admin: number
}

/** Every connection fails, each in a way of its own; the password is right for its place, and odd. */
const failing = ({ house, dead }: Ports): Readonly<Record<string, string>> => ({
  mqttRefused: `protocol: mqtt, url: "mqtt://127.0.0.1:${house}", username: gate, ${key(0)}`,
  mqttRefusedUrl: `protocol: mqtt, url: "mqtt://${inUrl(1)}@127.0.0.1:${house}"`,
  mqttAway: `protocol: mqtt, url: "mqtt://${inUrl(2)}@127.0.0.1:${dead}"`,
  mqttAwayKey: `protocol: mqtt, url: "mqtts://127.0.0.1:${dead}", username: user, ${key(3)}`,
  mqttNoTls: `protocol: mqtt, url: "mqtts://${inUrl(4)}@127.0.0.1:${house}"`,
  mqttPath: `protocol: mqtt, url: "ws://127.0.0.1:${dead}/mqtt?token=\${env:ENCODED_5}", username: user, ${key(5)}`,
  mqttNoWebSocket: `protocol: mqtt, url: "ws://${inUrl(6)}@127.0.0.1:${house}/x"`,
  amqpRefused: `protocol: amqp, url: "${brokerAddresses().amqp.replace(/\/\/.*@/, `//${inUrl(7)}@`)}"`,
  amqpRefusedKey: `protocol: amqp, url: "${brokerAddresses().amqp.replace(/\/\/.*@/, '//')}", username: user, ${key(8)}`,
  amqpAway: `protocol: amqp, url: "amqp://${inUrl(9)}@127.0.0.1:${dead}/vhost"`,
  amqpNoBroker: `protocol: amqp, url: "amqp://${inUrl(10)}@127.0.0.1:${house}"`,
  amqpNoTls: `protocol: amqp, url: "amqps://127.0.0.1:${house}", username: user, ${key(11)}`,
  amqpNoHost: `protocol: amqp, url: "amqp://${inUrl(12)}@no-such-host.invalid"`,
  amqpWhole: 'protocol: amqp, url: "${env:WHOLE}"',
  kafkaAway: `protocol: kafka, brokers: ["127.0.0.1:${dead}"], sasl: { mechanism: scram-sha-512, username: user, ${key(14)} }`,
  kafkaNoBroker: `protocol: kafka, brokers: ["127.0.0.1:${house}"], connectTimeout: 1s, sasl: { mechanism: plain, username: user, ${key(15)} }`,
  kafkaRefused: `protocol: kafka, brokers: ["${brokerAddresses().kafka}"], sasl: { mechanism: plain, username: user, ${key(16)} }`,
  kafkaNoTls: `protocol: kafka, brokers: ["127.0.0.1:${house}"], tls: {}, sasl: { mechanism: plain, username: user, ${key(17)} }`,
  httpNoTokens: `protocol: http, ${oauth(dead, 8)}`,
  httpNoServer: `protocol: http, ${oauth(house, 10)}`,
})

const oauth = (port: number, n: number) =>
  `auth: { oauth: { tokenUrl: "http://127.0.0.1:${port}/", clientId: id, clientSecret: "\${env:SECRET_${n}}" } }`

const targets: Readonly<Record<string, string>> = { amqp: 'queue: q', http: 'url: "http://127.0.0.1:1/"' }
const target = (settings: string) => targets[/^protocol: (\w+)/.exec(settings)?.[1] ?? ''] ?? 'topic: t'

function configuration(ports: Ports): string {
  const connections = Object.entries(failing(ports))
  return `
gateway: { admin: { listen: "127.0.0.1:${ports.admin}", token: "\${env:TOKEN}" }, drain: 1s }
connections:
  house:
    protocol: mqtt
    listen: "mqtt://127.0.0.1:${ports.house}"
    users: [{ username: gate, ${key(18)} }, { username: other, password: "\${file:secret}" }]
${connections.map(([name, settings]) => `  ${name}: { ${settings} }`).join('\n')}
routes:
${connections.map(([name, settings]) => `  - { name: ${name}, from: { connection: house, topic: "in/${name}" }, to: [{ connection: ${name}, ${target(settings)} }] }`).join('\n')}
`
}

async function place() {
  const [house = 0, dead = 0, admin = 0] = await freePorts(3)
  const ports = { house, dead, admin }
  const folder = folderWith({ 'trivium.yaml': configuration(ports), secret: secrets[19] ?? '' })
  afterwards(folder.remove)
  const whole = `amqp://user:${encodeURIComponent(secrets[13] ?? '')}@127.0.0.1:${dead}`
  return { ports, cwd: folder.path, env: { ...env, ...encoded, WHOLE: whole, TOKEN: token } }
}
const token = secrets[9] ?? ''

const pages = [
  '/',
  '/livez',
  '/readyz',
  '/metrics',
  '/nothing',
  ...[
    'gateway',
    'routes',
    'connections',
    'dead-letters',
    'dead-letters/%ff',
    'dead-letters/export',
    'dead-letters?where=x(',
  ].map((page) => `/api/v1/${page}`),
]

/** Every page, asked with the token, without one and with a wrong one: status line, headers and body. */
async function allPages(port: number): Promise<string> {
  const tokens = [undefined, `Bearer ${token}`, 'Bearer wrong']
  const asked = pages.flatMap((page) => tokens.map((authorization) => ({ page, authorization })))
  const answers = []
  for (const { page, authorization } of asked) {
    const headers = authorization === undefined ? {} : { authorization }
    const answer = await fetch(`http://127.0.0.1:${port}${page}`, { headers })
    answers.push(answer.status, JSON.stringify([...answer.headers]), await answer.text())
  }
  return answers.join('\n')
}

test.each(['json', 'text'])('a running gateway, all its pages and all commands, log as %s', async (format) => {
  const { ports, ...options } = await place()
  const gateway = startTrivium(['run', '--log-level', 'debug', '--log-format', format], options)
  afterwards(() => gateway.stop('SIGKILL'))
  for (const name of Object.keys(failing(ports))) {
    await gateway.wrote(new RegExp(`${name} is not available as sink: \\w`), 60_000)
  }
  const shown = await allPages(ports.admin)
  expect(shown).toContain('mqttRefused')
  expectNoSecret(shown)
  const commands = [
    ['validate'],
    ['validate', '--json'],
    ['health'],
    ['dead-letters', 'list'],
    ['dead-letters', 'show', '1'],
    ['dead-letters', 'export'],
    ['publish', 'kafkaRefused', 't', 'x'],
    ['publish', 'mqttNoTls', 't', 'x'],
  ]
  if (format === 'json') {
    for (const command of commands) {
      const { stdout, stderr } = await trivium(command, options)
      expectNoSecret(stdout + stderr)
    }
  }
  const { code, stdout, stderr } = await gateway.stop()
  expect(code).toBe(0)
  expectNoSecret(stdout + stderr)
})

test('an address that a secret breaks: the same error from every command, told once, and the secret is not in it', async () => {
  const broken = secrets.flatMap((_, n) => [
    `  mqtt${n}: { protocol: mqtt, url: "\${env:RAW_MQTT_${n}}" }`,
    `  amqp${n}: { protocol: amqp, url: "\${env:RAW_AMQP_${n}}" }`,
    `  kafka${n}: { protocol: kafka, brokers: ["\${env:RAW_KAFKA_${n}}"] }`,
    `  listen${n}: { protocol: mqtt, listen: "\${env:RAW_MQTT_${n}}" }`,
  ])
  const folder = folderWith({ 'trivium.yaml': `connections:\n${broken.join('\n')}\nroutes: []\n` })
  afterwards(folder.remove)
  const raw = secrets.flatMap((secret, n) => [
    [`RAW_MQTT_${n}`, `mqtt://user:${secret}@127.0.0.1:1`],
    [`RAW_AMQP_${n}`, `amqp://user:${secret}@127.0.0.1:1/vhost`],
    [`RAW_KAFKA_${n}`, `user:${secret}@127.0.0.1:1`],
  ])
  const options = { cwd: folder.path, env: Object.fromEntries(raw) as Record<string, string> }
  const commands = [
    ['validate'],
    ['validate', '--json'],
    ['run'],
    ['publish', 'mqtt0', 't', 'x'],
    ['dead-letters', 'list'],
    ['health'],
  ]
  for (const command of commands) {
    const { code, stdout, stderr } = await trivium(command, options)
    expect({ command, code }).toEqual({ command, code: 78 })
    expectNoSecret(stdout + stderr)
    if (command[0] !== 'run') continue
    expect(stderr.match(/`url` in connection `mqtt0` /g)).toHaveLength(1)
    expect(stderr).toContain('trivium.yaml:2:33')
    expect(stderr).toContain('percent-encode it')
  }
})

test('secrets written in the file, quoted and not, on lines with mistakes: no excerpt shows one', async () => {
  const files = secrets.flatMap((secret, n) => {
    const quoted = JSON.stringify(secret)
    return [
      `connections:\n  a: { protocol: amqp, url: "amqp://h:0", usrname: u, password: ${quoted} }\nroutes: []\n`,
      `connections:\n  a:\n    protocol: amqp\n    url: amqp://h:0\n    password: ${secret}\nroutes: []\n`,
      `connections:\n  a:\n    protocol: mqtt\n    url: mqtt://u:${secret}@h:0\nroutes: []\n`,
      `connections:\n  a: { protocol: kafka, brokers: [h], sasl: { username: [u], password: ${secret} } }\nroutes: []\n`,
      `gateway: { admin: { token: ${quoted}, lisen: x } }\n`,
      `connections:\n  a: amqp://u:${secret}@h\n  b: { protocol: mqtt, listen: "mqtt://h", users: [{ username: 1, password: ${secret} }] }\n`,
    ].map((text, i) => [`${n}-${i}.yaml`, text] as const)
  })
  const folder = folderWith(Object.fromEntries(files))
  afterwards(folder.remove)
  for (const options of [[], ['--json']]) {
    const names = files.map(([name]) => name)
    const { code, stdout, stderr } = await trivium(['validate', ...options, ...names], { cwd: folder.path })
    expect(code).toBe(78)
    for (const name of names) expect(stdout).toContain(name)
    expectNoSecret(stdout + stderr)
  }
})

test('what is typed: an address with a password, a token no header can carry', async () => {
  const folder = folderWith({})
  afterwards(folder.remove)
  writeFileSync(join(folder.path, 'trivium.yaml'), 'connections: {}\nroutes: []\n')
  const typed = secrets.flatMap((secret) => [
    { args: ['health', '--url', `http://user:${secret}@127.0.0.1:1`], token: 'x' },
    { args: ['dead-letters', 'list', '--url', `http://user:${secret}@127.0.0.1:1`], token: 'x' },
    { args: ['dead-letters', 'list', '--url', 'http://127.0.0.1:1'], token: secret },
  ])
  const chosen = typed.filter((_, n) => n % 7 === 0 || n === 47) // a process each: every shape is a unit test already
  for (const { args, token: TRIVIUM_ADMIN_TOKEN } of chosen) {
    const { code, stdout, stderr } = await trivium(args, { cwd: folder.path, env: { TRIVIUM_ADMIN_TOKEN } })
    expect(code).not.toBe(0)
    expectNoSecret(stdout + stderr)
  }
})
