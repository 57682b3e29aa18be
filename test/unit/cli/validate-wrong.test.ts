/** What is wrong in a configuration is told at `validate`: exit 78, with line, column and what to do. */
import { expect, test } from '@jest/globals'
import { registerCleanups } from './cleanups.ts'
import { trivium } from './command.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()

const routes = '\nroutes: [{ name: r, from: { connection: a, topic: t }, to: [{ connection: a, topic: u }] }]\n'
const env = { EMPTY: '', SLASH: 'mqtt://plant:hunter/2@127.0.0.1:1883', AT: 'amqp://user:pa/ssWORD@127.0.0.1:5672/vh' }

const cases: readonly (readonly [title: string, yaml: string, line: number, column: number, ...told: string[]])[] = [
  [
    'a `/` in a password',
    'connections:\n  a: { protocol: mqtt, url: "${env:SLASH}" }',
    2,
    29,
    'percent-encode it (%2F',
  ],
  [
    'the same in AMQP',
    'connections:\n  a: { protocol: amqp, url: "${env:AT}" }',
    2,
    29,
    'use the keys `username` and `password`',
  ],
  ['a lone `%`', 'connections:\n  a: { protocol: mqtt, url: "mqtt://u:100%@host" }', 2, 29, 'write %25'],
  ['IPv6 without brackets', 'connections:\n  a: { protocol: mqtt, url: "mqtt://::1:1883" }', 2, 29, 'in brackets'],
  [
    'illegal text in the topic of a Kafka target',
    `connections: { a: { protocol: mqtt, url: "mqtt://h" }, k: { protocol: kafka, brokers: ["h:1"] } }
routes:
  - name: r
    from: { connection: a, topic: "t/{site}" }
    to: [{ connection: k, topic: "tele metry/{params.site}" }]`,
    5,
    35,
    'TRV3005',
    'a topic name may only contain letters, digits, dots, underscores and hyphens',
  ],
  [
    'an empty password of a user',
    'connections:\n  a:\n    protocol: mqtt\n    listen: "mqtt://127.0.0.1:1883"\n    users:\n      - username: u\n        password: "${env:EMPTY}"',
    7,
    19,
    'must not be empty; omit the key',
  ],
  [
    'an empty token',
    'gateway:\n  admin:\n    token: "${env:EMPTY}"\nconnections: { a: { protocol: mqtt, url: "mqtt://h" } }',
    3,
    12,
    'must not be empty',
  ],
  [
    'an empty password of SASL',
    'connections:\n  a: { protocol: kafka, brokers: ["h:1"], sasl: { mechanism: plain, username: u, password: "" } }',
    2,
    92,
    'must not be empty',
  ],
  [
    'an empty password in an address',
    'connections:\n  a: { protocol: mqtt, url: "mqtt://u:${env:EMPTY}@h" }',
    2,
    29,
    'fill it in, or remove its `:`',
  ],
  [
    'a key named like a member of Object',
    'gateway: { constructor: x }\nconnections: { a: { protocol: mqtt, url: "mqtt://h" } }',
    1,
    12,
    'unknown key `constructor`',
    'allowed: id, dataDir',
  ],
  ['another', 'connections:\n  a: { protocol: mqtt, url: "mqtt://h", toString: x }', 2, 41, 'unknown key `toString`'],
  [
    'and `__proto__`',
    'connections:\n  a: { protocol: mqtt, url: "mqtt://h", tls: { __proto__: x } }',
    2,
    48,
    'unknown key `__proto__`',
  ],
  [
    'a device as secret',
    'connections:\n  a: { protocol: mqtt, url: "mqtt://h", username: u, password: "${file:/dev/zero}" }',
    2,
    65,
    'it is a pipe or a device, not a file',
  ],
  [
    'braces without quotes',
    'connections: { a: { protocol: mqtt, url: "mqtt://h" } }\nroutes:\n  - name: r\n    from:\n      connection: a\n      topic: {site}/telemetry',
    6,
    20,
    'quote all of it: "{site}/telemetry"',
  ],
  [
    '`#` without quotes',
    'connections: { a: { protocol: mqtt, url: "mqtt://h" } }\nroutes:\n  - name: r\n    from:\n      connection: a\n      topic: #',
    6,
    14,
    'quote the text, e.g. "#"',
  ],
]

test.each(cases)('%s', async (_title, yaml, line, column, ...told) => {
  const text = yaml.includes('routes:') ? yaml : `${yaml}${routes}`
  const folder = folderWith({ 'trivium.yaml': text })
  afterwards(folder.remove)
  const { code, stdout, stderr } = await trivium(['validate'], { cwd: folder.path, env })
  expect({ code, stderr }).toEqual({ code: 78, stderr: '' })
  expect(stdout).toContain(`trivium.yaml:${line}:${column}\n`)
  for (const text of told) expect(stdout).toContain(text)
  expect(stdout).not.toMatch(/hunter|ssWORD|100%@|^\s+at /m)
})
