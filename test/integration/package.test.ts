/** The package as npm makes it, installed where nothing else is, and run as a user runs it. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { connectAsync } from 'mqtt'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { registerCleanups } from '../unit/cli/cleanups.ts'
import { RunningProcess, root } from '../unit/cli/command.ts'

/** Packing and installing take seconds; a registry that does not answer must not hold the suite for ever. */
const withinMs = 90_000
const afterwards = registerCleanups()
const folder = mkdtempSync(join(tmpdir(), 'trivium-package-'))
const app = join(folder, 'app')
const command = join(app, 'node_modules/.bin/trivium')
let files: readonly string[]

beforeAll(() => {
  const [packed] = JSON.parse(
    npm(['pack', '--ignore-scripts=false', '--json', '--pack-destination', folder], root),
  ) as [Packed]
  files = packed.files.map(({ path }) => path)
  mkdirSync(app)
  writeFileSync(join(app, 'package.json'), '{ "private": true }')
  npm(['install', join(folder, packed.filename)], app)
}, 2 * withinMs)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Packed {
  readonly filename: string
  readonly files: readonly { readonly path: string }[]
}

function npm(args: readonly string[], cwd: string): string {
  return execFileSync('npm', [...args, '--silent', '--no-audit', '--no-fund'], {
    cwd,
    encoding: 'utf8',
    timeout: withinMs,
  })
}

/** The command of the installed package, under this Node or another. */
function trivium(args: readonly string[], { node = process.execPath, env = {} } = {}): RunningProcess {
  return new RunningProcess(node, [command, ...args], { cwd: app, env: { TRIVIUM_ADMIN_LISTEN: 'off', ...env } })
}

test('the package holds the launcher, the bundle and what a user reads, and nothing else', () => {
  const rooms = new Set(files.map((file) => file.split('/')[0]))
  const read = [
    ...['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'deploy', 'docker-compose.yml', 'docs', 'examples'],
    ...['package.json', 'protocols', 'trivium.yaml'],
  ]
  expect([...rooms].sort()).toEqual([...read, 'bin', 'dist'].sort())
  const unwanted = /\.(test|spec)\.|(?<!\.d)\.tsx?$|\.env|\.pem|\.key|\.db/
  expect(files.filter((file) => unwanted.test(file))).toEqual([])
  expect(files).toContain('dist/THIRD-PARTY-LICENSES.md')
})

test('every link of a packed page leads to a packed file', () => {
  const isPacked = (path: string) => files.some((file) => file === path || file.startsWith(`${path}/`))
  const dead = files.flatMap((page) => {
    if (!page.endsWith('.md') || page.startsWith('dist/')) return []
    const links = readFileSync(join(root, page), 'utf8').matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)
    const paths = Array.from(links, ([, link = '']) => link).filter((link) => !link.includes('://'))
    return paths.filter((path) => !isPacked(join(page, '..', path))).map((path) => `${page}: ${path}`)
  })
  expect(dead).toEqual([])
})

test('no second Node comes along', () => {
  expect(existsSync(join(app, 'node_modules/.bin/node'))).toBe(false)
})

/** What is sent to the topic `in` by `trivium publish` arrives at `out`, through a gateway of the package alone. */
async function bridges(node?: string): Promise<void> {
  const port = await freePort()
  const file = `bridge-${port}.yaml`
  writeFileSync(join(app, file), bridge(port))
  const options = node === undefined ? {} : { node }
  expect(await trivium(['validate', file], options).ended).toMatchObject({ code: 0 })
  const gateway = trivium(['run', file], options)
  afterwards(() => gateway.stop('SIGKILL'))
  await gateway.wrote(/devices is connected as source/)
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4, reconnectPeriod: 0 })
  afterwards(() => client.endAsync(true))
  const got: string[] = []
  client.on('message', (topic, payload) => got.push(`${topic} ${payload}`))
  await client.subscribeAsync('out', { qos: 1 })
  expect(await trivium(['publish', 'devices', 'in', '{"a":1}', '-c', file], options).ended).toMatchObject({ code: 0 })
  await eventually(() => got.length > 0, { what: 'the message' })
  expect(got).toEqual(['out {"a":1,"b":2}'])
  expect(await gateway.stop()).toMatchObject({ code: 0, stderr: expect.not.stringContaining('Warning') })
  const letters = await trivium(['dead-letters', 'list', '-c', file], options).ended
  expect(letters).toMatchObject({ code: 1, stderr: expect.stringContaining('no dead letters') })
}

const bridge = (port: number): string => `
gateway: { dataDir: ./data-${port} }
connections: { devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" } }
routes:
  - { name: echo, from: { connection: devices, topic: in }, set: { payload.b: "2" }, to: [{ connection: devices, topic: out }] }
`

test('a message is bridged under this Node', () => bridges())

test('a program runs a gateway inside itself, with types', async () => {
  const port = await freePort()
  writeFileSync(join(app, 'library.yaml'), bridge(port))
  writeFileSync(join(app, 'program.mts'), program)
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const options = ['--strict', '--noEmit', '--target', 'es2024', '--module', 'nodenext', '--types', 'node']
  const types = ['--typeRoots', join(root, 'node_modules/@types')]
  const checked = await new RunningProcess(process.execPath, [compiler, ...options, ...types, 'program.mts'], {
    cwd: app,
  }).ended
  expect(checked).toMatchObject({ stdout: '', code: 0 })
  const ran = await new RunningProcess(process.execPath, ['program.mts'], { cwd: app }).ended
  expect(ran).toMatchObject({ stdout: '1 delivered, held up: CONFIG_INVALID, after the end: USAGE\n', code: 0 })
})

const program = `
import { type GatewayStatus, loadConfig, PermanentError, startGateway } from 'trivium'

const gateway = startGateway(loadConfig('library.yaml'))
await gateway.ready()
await gateway.publish({ connection: 'devices', destination: 'in', payload: '{"a":1}' })
const delivered = (status: GatewayStatus): number => status.routes[0]?.delivered ?? 0
while (delivered(gateway.status()) === 0) await new Promise((resolve) => setTimeout(resolve, 10))
let wrong = ''
try {
  loadConfig('package.json')
} catch (error) {
  if (error instanceof PermanentError) wrong = error.code
}
await gateway.stop()
const late = await gateway.publish({ connection: 'devices', destination: 'in', payload: '' }).catch((error) => error.code)
console.log(\`\${delivered(gateway.status())} delivered, held up: \${wrong}, after the end: \${late}\`)
`

describe('Node 22.13, the oldest it runs on', () => {
  const node = oldestNode()
  const onOldest = node === undefined ? test.skip : test

  onOldest('a message is bridged', () => bridges(node))

  onOldest('what it has not is said when the configuration is read', async () => {
    writeFileSync(join(app, 'zstd.yaml'), zstd)
    const { code, stdout } = await trivium(['validate', 'zstd.yaml'], { node }).ended
    expect(code).toBe(78)
    expect(stdout).toMatch(/zstd needs Node 22\.15 or newer, this is v22\.13\.0.*\n.* zstd\.yaml:3:67/)
  })
})

const zstd = `
connections:
  k: { protocol: kafka, brokers: ["127.0.0.1:9092"], compression: zstd }
routes: [{ name: a, from: { connection: k, topic: in, group: g }, to: [{ connection: k, topic: out }] }]
`

/** Its binary from the registry, without a script; undefined where there is none for this machine. */
function oldestNode(): string | undefined {
  if (process.platform !== 'linux') return undefined
  const name = `node-linux-${process.arch}`
  try {
    const place = join(folder, 'node')
    mkdirSync(place)
    npm(['install', '--ignore-scripts', '--prefix', place, `${name}@22.13.0`], place)
    return join(place, 'node_modules', name, 'bin/node')
  } catch {
    return undefined
  }
}
