/** Every command and every configuration of README.md and the pages it sends its reader to: what they show has been run. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import mqtt from 'mqtt'
import { protocols } from '../../protocols/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { freePorts } from '../support/ports.ts'
import { RunningProcess, root } from '../unit/cli/command.ts'
import { folderWith } from '../unit/cli/files.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')
const packageJson = readFileSync(join(root, 'package.json'), 'utf8')
const pages = [
  readme,
  ...['operate', 'rules', 'sidecar'].map((name) => readFileSync(join(root, `docs/${name}.md`), 'utf8')),
]
const blocks = [...pages.join('\n').matchAll(/^```(\w+)\n(.*?)^```/gms)].map(([, language, text = '']) => ({
  language,
  text,
}))
const yamlBlocks = blocks.filter(({ language }) => language === 'yaml').map(({ text }) => text)
const commands = blocks.filter(({ language }) => language === 'sh').flatMap(({ text }) => text.trim().split('\n'))

/** Commands that go on until they are stopped, and what they write when they are under way. */
const lasting: Readonly<Record<string, readonly RegExp[]>> = {
  'npx trivium run bridge.yaml': [/plant is connected as source/, /events is connected as sink/],
  'npm start': [/devices is connected as source/],
  // it says nothing when it has subscribed: what it shows comes later
  "npx mqtt sub -h 127.0.0.1 -t 'alerts/#' -v": [],
}
const alert = /alerts\/berlin \{"temperature":31.5,"device":"7","fahrenheit":88.7\}/

/** Why a command is looked at only. */
function reasonNotToRun(command: string): string | undefined {
  if (command.startsWith('docker ')) return 'it needs a container engine; its files are checked by containers.test.ts'
  if (/^npm (test|run \S+)/.test(command)) return 'it would run this test inside itself; the script must exist'
  return undefined
}

const folder = folderWith({})
const running = new Map<string, RunningProcess>()
let ports: { mqtt: string; admin: string }

beforeAll(async () => {
  const [mqttPort, adminPort] = await freePorts(2)
  ports = { mqtt: String(mqttPort), admin: String(adminPort) }
  for (const name of ['bin', 'src', 'protocols', 'node_modules']) symlinkSync(join(root, name), join(folder.path, name))
  writeFileSync(join(folder.path, 'package.json'), packageJson)
  writeFileSync(join(folder.path, 'package-lock.json'), readFileSync(join(root, 'package-lock.json')))
  const quickstart = readFileSync(join(root, 'trivium.yaml'), 'utf8').replaceAll('1883', ports.mqtt)
  writeFileSync(join(folder.path, 'trivium.yaml'), quickstart)
  const bridge = yamlBlocks.find((text) => text.includes('plant:')) ?? ''
  const { kafka, mqtt: mqttUrl } = brokerAddresses()
  const local = bridge.replace('mqtt://localhost:1883', mqttUrl).replace('localhost:9092', kafka[0] ?? '')
  writeFileSync(join(folder.path, 'bridge.yaml'), local)
  mkdirSync(join(folder.path, 'npm-cache'))
})

afterAll(async () => {
  for (const process of running.values()) await process.stop()
  const session = { clientId: 'trivium-plant-in', clean: true, reconnectPeriod: 0 }
  await (await mqtt.connectAsync(brokerAddresses().mqtt, session)).endAsync()
  folder.remove()
})

/** The command on the ports of this test, without a network beyond this machine. */
function start(command: string): RunningProcess {
  const own = command
    .replaceAll('7070', ports.admin)
    .replace('mqtt sub -h 127.0.0.1', `mqtt sub -h 127.0.0.1 -p ${ports.mqtt}`)
    .replace(/^npm ci$/, 'npm ci --dry-run') // the packages are there: it is the lock file that is tried
  const env = {
    TRIVIUM_ADMIN_LISTEN: `127.0.0.1:${ports.admin}`,
    TRIVIUM_LOG_FORMAT: 'json',
    npm_config_cache: join(folder.path, 'npm-cache'),
    npm_config_offline: 'true',
  }
  return new RunningProcess('sh', ['-c', own], { cwd: folder.path, env })
}

async function stopAll(): Promise<void> {
  for (const [command, process] of running) {
    running.delete(command)
    await process.stop()
  }
}

describe('the commands, one after the other', () => {
  test.each(commands)('%s', async (command) => {
    const reason = reasonNotToRun(command)
    if (reason !== undefined) {
      process.stdout.write(`not run: ${command}: ${reason}\n`)
      const [, script = 'test'] = /^npm (?:run )?(\S+)/.exec(command) ?? []
      if (command.startsWith('npm ')) expect(JSON.parse(packageJson).scripts).toHaveProperty(script)
      else expect(command).toMatch(/^docker (compose (up|exec|logs)|build|run) /)
      return
    }
    if (command === 'npm start') await stopAll()
    const started = start(command)
    if (command in lasting) {
      running.set(command, started)
      for (const pattern of lasting[command] ?? []) await started.wrote(pattern)
      return
    }
    expect(await started.ended).toMatchObject({ code: 0 })
  })

  test('the watcher saw what README says it sees', async () => {
    const publish = commands.find((command) => command.startsWith('npx trivium publish')) ?? ''
    const watcher = [...running].find(([command]) => command.includes('mqtt sub'))?.[1]
    let isSeen = false
    const seen = watcher?.wrote(alert).finally(() => {
      isSeen = true
    })
    while (!isSeen) expect(await start(publish).ended).toMatchObject({ code: 0 })
    await seen
    expect(readme).toMatch(alert)
  })
})

test('the program of the library runs, and its message arrives', async () => {
  await stopAll()
  const [program = ''] = blocks.filter(({ language }) => language === 'js').map(({ text }) => text)
  const library = join(root, 'src/index.ts')
  writeFileSync(join(folder.path, 'program.mjs'), program.replace("'trivium'", JSON.stringify(library)))
  const ran = new RunningProcess(process.execPath, ['program.mjs'], { cwd: folder.path })
  expect(await ran.ended).toMatchObject({ code: 0 })
  expect(program).toContain('await gateway.publish(')
})

describe('the configurations', () => {
  const routes = yamlBlocks.filter((text) => !text.startsWith('initContainers:')) // containers.test.ts checks that one
  const shared = routes.find((text) => text.startsWith('connections:') && !text.includes('routes:')) ?? ''
  const configurations = routes
    .filter((text) => text.includes('routes:'))
    .map((text) => (text.startsWith('routes:') ? `${shared}\n${text}` : text))

  test('README has at most 130 lines', () => {
    expect(readme.trimEnd().split('\n').length).toBeLessThanOrEqual(130)
  })

  test('there are the bridge of the first screen and five examples', () => {
    expect(configurations).toHaveLength(6)
    expect(configurations[0]?.trimEnd().split('\n').length).toBeLessThanOrEqual(15)
  })

  test.each(configurations)('%#: valid, and nothing is doubtful but what is not used', (yaml) => {
    const { diagnostics } = loadConfig(yaml, { file: 'README.md', env: {}, protocols })
    expect(diagnostics.filter(({ code }) => code !== 'TRV4003')).toEqual([])
  })
})

test('the table of metrics names all there are, and no others', async () => {
  const link = { connection: 'c', protocol: 'p', role: 'source', state: 'up', extra: new Map() }
  const store = { deadLetters: new Map([['r', 1]]) }
  const status = { version: '0', links: [link], routes: [], inFlight: { count: 0, bytes: 0 }, store }
  const registry = createMetrics(() => status as never)
  const names = registry.getMetricsAsArray().map(({ name }) => name)
  const own = names.filter((name) => name.startsWith('trivium_')).sort()
  const table = pages
    .join('\n')
    .split('\n')
    .filter((line) => line.startsWith('|')) // the text names counters of adapters too
  const told = [...new Set(Array.from(table.join('\n').matchAll(/`(trivium_\w+)`/g), ([, name]) => name))].sort()
  expect(told).toEqual(own)
})
