/** `gateway.protocols`: protocols that the file brings itself. */
import { expect, test } from '@jest/globals'
import { z } from 'zod'
import { protocols } from '../../../protocols/index.ts'
import { memory } from '../../../protocols/memory/index.ts'
import { loadConfig } from '../../../src/config/load.ts'

const own = { ...memory, name: 'own' }

function load(modules: Readonly<Record<string, unknown>>, protocol = 'own') {
  return loadConfig(
    `gateway:
  protocols: [./mine.js]
connections: { a: { protocol: ${protocol} } }
routes: [{ name: r, from: { connection: a, topic: in }, to: [{ connection: a, topic: out }] }]
`,
    {
      file: '/etc/trivium/t.yaml',
      env: {},
      protocols,
      loadModule: (path) => {
        if (!(path in modules)) throw new Error(`it needs a thing\nRequire stack: a secret`)
        return modules[path]
      },
    },
  )
}

test('a connection may name a protocol of a module, which is looked for beside the file', () => {
  const { config, diagnostics } = load({ '/etc/trivium/mine.js': { own, other: 1, schema: z.string() } })
  expect(diagnostics).toEqual([])
  expect(config?.connections.get('a')?.protocol).toBe('own')
  expect(config?.protocols.map(({ name }) => name)).toEqual([...protocols.map(({ name }) => name), 'own'])
})

test.each([
  ['fails', {}, 'from `./mine.js`: it needs a thing'],
  ['exports none', { '/etc/trivium/mine.js': { own: 1 } }, 'from `./mine.js`: it exports no protocol'],
  [
    'brings one that lacks parts',
    {
      '/etc/trivium/mine.js': {
        own: { ...own, sink: { ...memory.sink, destinations: undefined, targetOf: undefined } },
      },
    },
    '`sink.destinations` of protocol `own`, `sink.targetOf` of protocol `own` is missing',
  ],
  [
    'brings one without an end',
    { '/etc/trivium/mine.js': { own: { name: 'own', connection: {} } } },
    '`connection (a schema)` of protocol `own`, `source or sink` of protocol `own` is missing',
  ],
  ['brings one that is built in', { '/etc/trivium/mine.js': { own: memory } }, 'duplicate protocol `memory`'],
])('a module that %s is told with its place and what to do', (_case, modules, message) => {
  const { config, diagnostics } = load(modules, 'memory')
  expect(config).toBeUndefined()
  const [problem] = diagnostics
  expect(problem).toMatchObject({ code: 'TRV1010', line: 2, column: 15, help: expect.any(String) })
  expect(problem?.message).toContain(message)
  expect(problem?.message).not.toContain('secret')
})

test('a module that cannot be loaded is the only thing told of what needs it', () => {
  const { diagnostics } = load({})
  expect(diagnostics.map(({ code }) => code)).toEqual(['TRV1010'])
})

test('a protocol that no module brings is told once, with where to name its module', () => {
  const text = `connections: { a: { protocol: pigeon, loft: 7 } }
routes: [{ name: r, from: { connection: a, nest: 1 }, to: [{ connection: a, nest: 2 }] }]
`
  const { diagnostics } = loadConfig(text, { file: 't.yaml', env: {}, protocols })
  expect(diagnostics.map(({ code }) => code)).toEqual(['TRV2006'])
  expect(diagnostics[0]?.help).toContain('gateway.protocols')
})

test.each(['connections: { a: { protocol: memory, maxInFlight: 5 } }', 'maxInFlight: 5'])(
  'maxInFlight in a wrong place is told where it belongs: %s',
  (text) => {
    const { diagnostics } = loadConfig(text, { file: 't.yaml', env: {}, protocols })
    const found = diagnostics.find(({ code }) => code === 'TRV2001')
    expect(found?.help).toBe('it belongs under `from` (for one source) or `gateway` (for all of them)')
  },
)
