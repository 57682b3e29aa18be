/** Passwords planted everywhere a configuration can have one, connections that fail in every way, and not one of them shown. */
import { expect, test } from '@jest/globals'
import { freePorts } from '../../support/ports.ts'
import { registerCleanups } from './cleanups.ts'
import { startTrivium, trivium } from './command.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()

const canary = (n: number): string => `c4nary-s3cret-${String(n).padStart(2, '0')}`
const canaries = Array.from({ length: 20 }, (_, n) => canary(n))
/** As they stand in what is sent, too: base64 of a part is found by its middle. */
const spellings = canaries.flatMap((text) => [text, Buffer.from(text).toString('base64').slice(0, 16)])

const configuration = (port: number, deadPort: number) => `
gateway: { admin: { listen: "127.0.0.1:0", token: ${canary(0)} }, drain: 1s }
connections:
  house:
    protocol: mqtt
    listen: "mqtt://127.0.0.1:${port}"
    users: [{ username: gate, password: ${canary(1)} }, { username: other, password: "\${env:FROM_ENV}" }]
  wrong: { protocol: mqtt, url: "mqtt://127.0.0.1:${port}", username: gate, password: ${canary(2)} }
  wrongUrl: { protocol: mqtt, url: "mqtt://gate:${canary(3)}@127.0.0.1:${port}" }
  mqttAway: { protocol: mqtt, url: "mqtt://user:${canary(4)}@127.0.0.1:${deadPort}" }
  mqttAway2: { protocol: mqtt, url: "mqtt://127.0.0.1:${deadPort}", username: user, password: ${canary(5)} }
  amqpAway: { protocol: amqp, url: "amqp://user:${canary(6)}@127.0.0.1:${deadPort}" }
  amqpAway2: { protocol: amqp, url: "amqp://127.0.0.1:${deadPort}", username: user, password: ${canary(7)} }
  amqpNoBroker: { protocol: amqp, url: "amqp://user:${canary(8)}@127.0.0.1:${port}" }
  amqpNoHost: { protocol: amqp, url: "amqp://user:${canary(9)}@no-such-host.invalid" }
  kafkaAway:
    protocol: kafka
    brokers: ["127.0.0.1:${deadPort}"]
    sasl: { mechanism: scram-sha-512, username: user, password: ${canary(10)} }
  kafkaNoBroker:
    protocol: kafka
    brokers: ["127.0.0.1:${port}"]
    sasl: { mechanism: plain, username: user, password: "\${env:FROM_ENV}" }
routes:
${failing.map((name, n) => `  - { name: r${n}, from: { connection: house, topic: "in/${n}" }, to: [{ connection: ${name}, ${place(name)} }] }`).join('\n')}
`

const failing = [
  ...['wrong', 'wrongUrl', 'mqttAway', 'mqttAway2', 'amqpAway', 'amqpAway2', 'amqpNoBroker', 'amqpNoHost'],
  ...['kafkaAway', 'kafkaNoBroker'],
]
const place = (name: string): string => (name.startsWith('amqp') ? 'queue: q' : 'topic: t')
const env = { FROM_ENV: canary(11) }

function expectNoSecret(output: string): void {
  expect(spellings.filter((secret) => output.includes(secret))).toEqual([])
}

async function folderOf(change: (yaml: string) => string = (yaml) => yaml): Promise<string> {
  const [port, deadPort] = (await freePorts(2)) as [number, number]
  const folder = folderWith({ 'trivium.yaml': change(configuration(port, deadPort)) })
  afterwards(folder.remove)
  return folder.path
}

test('run, at debug level, while every connection fails', async () => {
  const cwd = await folderOf()
  const gateway = startTrivium(['run', '--log-level', 'debug'], { cwd, env })
  afterwards(() => gateway.stop('SIGKILL'))
  for (const name of failing) await gateway.wrote(new RegExp(`${name} is not available as sink: \\w`), 60_000)
  const { code, stdout, stderr } = await gateway.stop()
  expect(code).toBe(0)
  expect(stderr.length).toBeGreaterThan(1_000)
  expectNoSecret(stdout + stderr)
})

test.each(failing)('publish to %s', async (name) => {
  const { code, stdout, stderr } = await trivium(['publish', name, 't', 'x'], { cwd: await folderOf(), env })
  expect(code).toBe(69)
  expectNoSecret(stdout + stderr)
})

test('validate warns of a password in plain text, and does not show it in its excerpt', async () => {
  const { code, stdout, stderr } = await trivium(['validate'], { cwd: await folderOf(), env })
  expect(code).toBe(0)
  expect(stdout).toContain('TRV4002')
  expectNoSecret(stdout + stderr)
})

test.each([[[]], [['--json']]])('validate %j of a file with mistakes in the lines of its secrets', async (options) => {
  const cwd = await folderOf((yaml) =>
    yaml
      .replace('username: gate, password', 'usrname: gate, password')
      .replace('username: user, password', 'username: [user], password')
      .replace('amqp://user', 'amqqp://user')
      .replace('mechanism: plain', 'mechanism: plainest'),
  )
  const { code, stdout, stderr } = await trivium(['validate', ...options], { cwd, env })
  expect(code).toBe(78)
  expect(stdout).toContain('usrname')
  expectNoSecret(stdout + stderr)
})
