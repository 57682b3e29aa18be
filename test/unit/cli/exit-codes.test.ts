import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { freePort } from '../../support/ports.ts'
import { registerCleanups } from './cleanups.ts'
import { startTrivium, trivium } from './command.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()
const quiet = { TRIVIUM_ADMIN_LISTEN: 'off' }

function folderOf(files: Record<string, string>): string {
  const folder = folderWith(files)
  afterwards(folder.remove)
  return folder.path
}

/** A port that somebody else listens on until the end of the test. */
async function takenPort(): Promise<number> {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
  afterwards(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const listening = (port: number) => `
connections:
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" }
routes:
  - name: echo
    from: { connection: devices, topic: "in/{id}" }
    to: [{ connection: devices, topic: "out/{params.id}" }]
`

describe('64: what was typed is wrong', () => {
  test.each([
    [['nonsense'], "unknown command 'nonsense'"],
    [['validat'], 'Did you mean validate?'],
    [['run', '--nonsense'], "unknown option '--nonsense'"],
    [['run', '--log-level', 'loud'], 'Allowed choices are error, warn, info, debug'],
    [['start'], '(commands: run, validate, publish, dead-letters, health, schema, version; see trivium help)'],
    [['publish', 'devices'], "missing required argument 'destination'"],
    [['version', 'extra'], 'too many arguments'],
    [['health', '--url', 'nonsense'], '--url nonsense: expected http://host:port'],
  ])('trivium %j', async (args, message) => {
    const { code, stderr, stdout } = await trivium(args)
    expect({ code, stdout }).toEqual({ code: 64, stdout: '' })
    expect(stderr).toContain(message)
  })
})

describe('66: no end', () => {
  test('publish reads a payload up to a bound, from a device too', async () => {
    const path = folderOf({ 'trivium.yaml': listening(await freePort()) })
    const { code, stderr } = await trivium(['publish', 'devices', 't', '@/dev/zero'], { cwd: path })
    expect({ code, stderr }).toEqual({
      code: 66,
      stderr: 'trivium: /dev/zero cannot be read: it is larger than 256 MiB\n',
    })
  })
})

describe('66: no such file', () => {
  test.each([['run'], ['validate'], ['health', '-c'], ['publish', 'a', 'b', 'c', '-c']])(
    'trivium %s',
    async (...args) => {
      const { code, stderr } = await trivium([...args, '/no/such.yaml'])
      expect(code).toBe(66)
      expect(stderr).toContain('no such file: /no/such.yaml')
    },
  )

  test.each([['run'], ['validate'], ['health', '-c']])('trivium %s: a directory is no file', async (...args) => {
    const { code, stderr } = await trivium([...args, tmpdir()])
    expect(code).toBe(66)
    expect(stderr).toContain(`${tmpdir()} cannot be read: it is a directory`)
  })

  test('a configuration alone means run', async () => {
    expect(await trivium(['none.yaml'])).toMatchObject({ code: 66, stderr: expect.stringContaining('none.yaml') })
  })

  test('of the variable too, and trivium.yaml is what is looked for without any', async () => {
    const path = folderOf({})
    const [named, unnamed] = await Promise.all([
      trivium(['validate'], { env: { TRIVIUM_CONFIG: join(path, 'other.yaml') } }),
      trivium([], { cwd: path }),
    ])
    expect(named).toMatchObject({ code: 66, stderr: expect.stringContaining('other.yaml') })
    expect(unnamed).toMatchObject({ code: 66, stderr: expect.stringContaining('no such file: trivium.yaml') })
  })
})

describe('78: the configuration is wrong', () => {
  const broken = `
connections:
  devices: { protocol: mqtt, lisen: "mqtt://127.0.0.1:1883" }
routes:
  - name: echo
    from: { connection: device, topic: "in/{id}" }
    when: payload.temperature >
    to: [{ connection: devices, topic: "out/{params.idd}" }]
`
  test.each(['0.0.0.0:0', '127.evil.example:0', '[::]:0'])(
    'trivium run: an admin server on %s without a token is refused',
    async (listen) => {
      const path = folderOf({ 'trivium.yaml': 'connections: {}\nroutes: []\n' })
      const { code, stderr } = await trivium(['run'], { cwd: path, env: { TRIVIUM_ADMIN_LISTEN: listen } })
      expect(code).toBe(78)
      expect(stderr).toContain(`the admin interface on ${listen} can be reached from other machines without a token`)
      expect(stderr).toContain('set TRIVIUM_ADMIN_TOKEN, or listen on 127.0.0.1')
    },
  )

  test.each([['run'], ['validate'], ['health', '-c'], ['publish', 'devices', 't', 'x', '-c']])(
    'trivium %s: every error is printed at once, with its place',
    async (...args) => {
      const path = folderOf({ 'broken.yaml': broken })
      const { code, stdout, stderr } = await trivium([...args, join(path, 'broken.yaml')])
      expect(code).toBe(78)
      for (const part of ['lisen', '`listen`', 'device`', '`devices`', ':3:', ':6:', ':7:']) {
        expect(stdout + stderr).toContain(part)
      }
    },
  )

  test.each([
    [
      'a port of the admin server that cannot be',
      'gateway: { admin: { listen: "127.0.0.1:99999" } }',
      'port 99999 is not within 0-65535',
    ],
    ['a certificate that is not there', '', '`ca` in `tls` of connection `far` (amqp): file `none.pem` cannot be read'],
  ])('run and validate alike: %s', async (_name, gateway, message) => {
    const far = 'far: { protocol: amqp, url: "amqps://localhost:5671", tls: { ca: none.pem } }'
    const yaml = `${gateway}\nconnections: { ${gateway === '' ? far : 'far: { protocol: memory }'} }\nroutes: []\n`
    const cwd = folderOf({ 'trivium.yaml': yaml })
    for (const command of ['run', 'validate']) {
      const { code, stdout, stderr } = await trivium([command], { cwd })
      expect(code).toBe(78)
      expect(stdout + stderr).toContain(message)
    }
  })

  test('several files: the gravest code, and all are checked; as JSON one line each', async () => {
    const path = folderOf({ 'good.yaml': listening(1883), 'broken.yaml': broken })
    const { code, stdout } = await trivium(['validate', '--json', 'broken.yaml', 'good.yaml'], { cwd: path })
    expect(code).toBe(78)
    const [first, second] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(first.diagnostics.length).toBeGreaterThanOrEqual(3)
    expect(second).toEqual({ file: 'good.yaml', diagnostics: [] })
  })

  test('1 for warnings, where they are denied', async () => {
    const doubtful = listening(1883).replace('routes:', '  idle: { protocol: memory }\nroutes:')
    const path = folderOf({ 'doubtful.yaml': doubtful })
    const [allowed, denied] = await Promise.all([
      trivium(['validate', 'doubtful.yaml'], { cwd: path }),
      trivium(['validate', '--deny-warnings', 'doubtful.yaml'], { cwd: path }),
    ])
    expect([allowed.code, denied.code]).toEqual([0, 1])
    expect(denied.stdout).toContain('TRV4003')
    const asked = await trivium(['dead-letters', 'list', '-c', 'doubtful.yaml'], { cwd: path, env: quiet })
    expect(asked.stderr).toMatch(/^trivium: no store in .*\n$/)
  })
})

describe('69: something is not available', () => {
  test('the port of the embedded broker is in use: it is named', async () => {
    const port = await takenPort()
    const path = folderOf({ 'trivium.yaml': listening(port) })
    const { code, stderr } = await trivium(['run'], { cwd: path, env: quiet })
    expect(code).toBe(69)
    expect(stderr).toMatch(/PORT_IN_USE/)
    expect(stderr).toContain(`127.0.0.1:${port}`)
  })

  test('the port of the admin server is in use: it is named', async () => {
    const port = await takenPort()
    const path = folderOf({ 'trivium.yaml': listening(await freePort()) })
    const { code, stderr } = await trivium(['run'], { cwd: path, env: { TRIVIUM_ADMIN_LISTEN: `127.0.0.1:${port}` } })
    expect(code).toBe(69)
    expect(stderr).toContain(`the admin server cannot listen on 127.0.0.1:${port}: another process uses this port`)
    expect(stderr).not.toContain('starts 1 route')
  })

  test.each([
    ['mqtt', (port: number) => `{ protocol: mqtt, url: "mqtt://127.0.0.1:${port}" }`],
    ['amqp', (port: number) => `{ protocol: amqp, url: "amqp://127.0.0.1:${port}" }`],
    ['kafka', (port: number) => `{ protocol: kafka, brokers: ["127.0.0.1:${port}"] }`],
  ])('publish, and the %s broker cannot be reached: its address is told', async (_name, connection) => {
    const port = await freePort()
    const path = folderOf({ 'trivium.yaml': `connections:\n  target: ${connection(port)}\nroutes: []\n` })
    const { code, stderr } = await trivium(['publish', 'target', 'somewhere', 'x'], { cwd: path })
    expect(code).toBe(69)
    expect(stderr).toContain(`127.0.0.1:${port}`)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(stderr).not.toContain('is it running?')
  })

  test('publish to the embedded broker, and no gateway runs', async () => {
    const path = folderOf({ 'trivium.yaml': listening(await freePort()) })
    const { code, stderr } = await trivium(['publish', 'devices', 'somewhere', 'x'], { cwd: path })
    expect(code).toBe(69)
    expect(stderr).toMatch(/ECONNREFUSED.*; the gateway is the broker here: is it running\?\n$/)
  })
})

describe('0: a signal', () => {
  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s ends a running gateway in order', async (signal) => {
    const path = folderOf({ 'trivium.yaml': listening(await freePort()) })
    const gateway = startTrivium(['run'], { cwd: path, env: quiet })
    afterwards(() => gateway.stop('SIGKILL'))
    await gateway.wrote(/devices is connected as source/)
    const { code, stderr } = await gateway.stop(signal)
    expect(code).toBe(0)
    expect(stderr).toContain(`${signal}: stopping`)
    expect(stderr).toContain('stopped; waiting in the store: nothing')
  })
})
