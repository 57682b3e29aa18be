/** The import arrows of the house, read from the sources: docs/architecture.md. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from '@jest/globals'

interface Import {
  readonly from: string
  /** A path from the root, or a package's name. */
  readonly to: string
  readonly isTypeOnly: boolean
}

const root = join(import.meta.dirname, '../..')
const sources = [...filesBelow('src'), ...filesBelow('protocols')].filter((file) => file.endsWith('.ts'))
const textOf = new Map(sources.map((file) => [file, readFileSync(join(root, file), 'utf8')]))
const imports = sources.flatMap(importsOf)
const protocolFolders = readdirSync(join(root, 'protocols'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

/** What a folder of src/ may import; `type:` allows types only. Folders not named here are free inside src/. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  'src/errors.ts': [],
  'src/failpoint.ts': [],
  'src/envelope': ['src/errors.ts'],
  'src/adapter': ['src/envelope', 'src/errors.ts'],
  'src/routing': ['src/envelope', 'src/adapter', 'src/errors.ts', 'type:src/config/schema/types.ts'],
  'src/delivery': [
    'src/adapter',
    'src/routing',
    'src/store',
    'src/failpoint.ts',
    'src/envelope',
    'src/errors.ts',
    'type:src/config/schema/types.ts',
    'type:src/telemetry',
  ],
  'src/exchange': [
    'src/adapter',
    'src/routing',
    'src/store',
    'src/failpoint.ts',
    'src/envelope',
    'src/errors.ts',
    'type:src/config/schema/types.ts',
    'type:src/telemetry',
  ],
  'src/store': [
    'src/adapter',
    'src/envelope',
    'src/errors.ts',
    'src/failpoint.ts',
    'type:src/config/schema/types.ts',
    'type:src/telemetry',
  ],
}

/** The rooms of the configuration, from the ground up: each may import those below it. */
const rooms = ['report', 'read', 'schema', 'checks'] as const

const drivers: Readonly<Record<string, readonly string[]>> = {
  amqp: ['amqplib'],
  http: ['undici'],
  kafka: ['kafkajs', '@node-rs/crc32', 'snappy', 'lz4-napi'],
  memory: [],
  mqtt: ['aedes', 'mqtt', 'mqtt-packet', 'ws'],
}
/** Packages of a protocol that are no driver: the admin server has them too. */
const shared: Readonly<Record<string, readonly string[]>> = { http: ['express'] }
const filesOfAProtocol = ['index.ts', 'config.ts', 'codec.ts', 'errors.ts', 'README.md']
/** Where a protocol's two ends lie, if not beside its index: MQTT is spoken as a client and as a broker. */
const endsIn: Readonly<Record<string, readonly string[]>> = { mqtt: ['client', 'broker'] } // its sink follows

test.each(Object.entries(arrows))('%s imports only %j', (folder, allowed) => {
  const inside = ofFolder(folder).filter(({ to }) => isLocal(to) && !isBelow(to, folder))
  const isAllowed = ({ to, isTypeOnly }: Import) =>
    allowed.some((arrow) => isBelow(to, arrow.replace('type:', '')) && (isTypeOnly || !arrow.startsWith('type:')))
  expect(shown(inside.filter((edge) => !isAllowed(edge)))).toEqual([])
})

test.each([...rooms.entries()])('floor %i of src/config, %s, imports no room above it', (floor, room) => {
  const above = [...rooms.slice(floor + 1).map((name) => `src/config/${name}`), 'src/config/load.ts']
  const upwards = ofFolder(`src/config/${room}`).filter(({ to }) => above.some((place) => isBelow(to, place)))
  expect(shown(upwards)).toEqual([])
})

test('src/config is load.ts and its rooms, and nothing else', () => {
  const others = sources.filter(
    (file) => isBelow(file, 'src/config') && !rooms.some((room) => file.includes(`/${room}/`)),
  )
  expect(others).toEqual(['src/config/load.ts'])
})

test.each(protocolFolders)('protocols/%s imports its own driver, the contract, the envelope and the errors', (name) => {
  const own = [`protocols/${name}`, 'src/adapter', 'src/envelope', 'src/errors.ts', 'src/failpoint.ts']
  const packages = [...(drivers[name] ?? []), ...(shared[name] ?? []), 'zod']
  const isAllowed = ({ to }: Import) =>
    isLocal(to) ? own.some((place) => isBelow(to, place)) : to.startsWith('node:') || packages.includes(packageOf(to))
  expect(shown(ofFolder(`protocols/${name}`).filter((edge) => !isAllowed(edge)))).toEqual([])
})

test('only the composition root, the configuration and the commands know the list of protocols', () => {
  const mayKnow = ['src/gateway.ts', 'src/config', 'src/cli', 'src/library', 'protocols/index.ts']
  const knowing = imports.filter(({ to }) => isBelow(to, 'protocols'))
  const strangers = knowing.filter(
    ({ from }) => !isBelow(from, 'protocols') && !mayKnow.some((at) => isBelow(from, at)),
  )
  const inDepth = knowing.filter(({ from, to }) => isBelow(from, 'src') && to !== 'protocols/index.ts')
  expect(shown([...strangers, ...inDepth])).toEqual([])
})

test('nothing but a protocol imports a driver', () => {
  const all = Object.values(drivers).flat()
  const outside = imports.filter(({ from, to }) => isBelow(from, 'src') && all.includes(packageOf(to)))
  expect(shown(outside)).toEqual([])
})

test('no decision outside protocols/ hangs on the name of a protocol', () => {
  const names = protocolFolders.join('|')
  const decision = new RegExp(`([!=]==?\\s*|\\bcase\\s+)'(${names})'|'(${names})'\\s*[!=]==?`, 'g')
  const found = sources
    .filter((file) => isBelow(file, 'src'))
    .flatMap((file) => [...(textOf.get(file) ?? '').matchAll(decision)].map(([text]) => `${file}: ${text}`))
  expect(found).toEqual([])
})

test('no imports run in a circle', () => {
  expect(circles()).toEqual([])
})

test('every export has a name', () => {
  expect(sources.filter((file) => /^export (default\b|\{[^}]*\bas default\b)/m.test(textOf.get(file) ?? ''))).toEqual(
    [],
  )
})

test('no source imports a test', () => {
  expect(shown(imports.filter(({ to }) => isBelow(to, 'test') || isBelow(to, 'bench')))).toEqual([])
})

test.each(protocolFolders)('protocols/%s has the files of its neighbours', (name) => {
  const ends = (endsIn[name] ?? ['.']).flatMap((room) => [join(room, 'source.ts'), join(room, 'sink.ts')])
  const missing = [...filesOfAProtocol, ...ends].filter((file) => !existsSync(join(root, 'protocols', name, file)))
  expect(missing).toEqual([])
})

test('the sources were read: a known import of each kind is seen', () => {
  const known: Import[] = [
    { from: 'src/adapter/deadline.ts', to: 'src/errors.ts', isTypeOnly: false },
    { from: 'src/adapter/protocol.ts', to: 'zod', isTypeOnly: true },
    { from: 'protocols/index.ts', to: 'protocols/memory/index.ts', isTypeOnly: false },
  ]
  for (const edge of known) expect(imports).toContainEqual(edge)
})

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file))
}

/** Static imports, re-exports, imports for effect and dynamic imports. */
function importsOf(from: string): Import[] {
  const text = textOf.get(from) ?? ''
  const statements = text.matchAll(/^(?:import|export)\s+(?:([^'";]*?)\s+from\s+)?'([^']+)'/gm)
  const dynamic = text.matchAll(/\b(import)\(\s*'([^']+)'/g)
  return [...statements, ...dynamic].map(([, names, target = '']) => ({
    from,
    to: target.startsWith('.') ? relative(root, join(root, dirname(from), target)) : target,
    isTypeOnly: isOfTypes(names),
  }))
}

/** `type X`, `type { X }`, or braces in which each name is a type. */
function isOfTypes(names = ''): boolean {
  if (names.startsWith('type ')) return true
  const listed = /^\{([^}]*)\}$/s
    .exec(names)?.[1]
    ?.split(',')
    .map((name) => name.trim())
  return listed?.filter(Boolean).every((name) => name.startsWith('type ')) ?? false
}

/** Each circle once, as the path along it. Types count too: they tie files together for a reader. */
function circles(): string[] {
  const next = Map.groupBy(
    imports.filter(({ to }) => textOf.has(to)),
    ({ from }) => from,
  )
  const found: string[] = []
  const finished = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file].join(' -> '))
    if (path.includes(file) || finished.has(file)) return
    for (const { to } of next.get(file) ?? []) visit(to, [...path, file])
    finished.add(file)
  }
  for (const file of sources) visit(file, [])
  return found
}

function ofFolder(folder: string): Import[] {
  return imports.filter(({ from }) => isBelow(from, folder))
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`)
}

function isLocal(target: string): boolean {
  return /^(src|protocols|test|bench|docs)\//.test(target)
}

/** `@scope/name/part` -> `@scope/name`. */
function packageOf(target: string): string {
  return target.split('/', target.startsWith('@') ? 2 : 1).join('/')
}

function shown(edges: readonly Import[]): string[] {
  return edges.map(({ from, to, isTypeOnly }) => `${from} -> ${to}${isTypeOnly ? ' (types)' : ''}`)
}
