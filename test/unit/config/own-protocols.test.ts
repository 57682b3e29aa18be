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
  ['brings one that is built in', { '/etc/trivium/mine.js': { own: memory } }, 'there is a protocol `memory` already'],
])('a module that %s is told with its place and what to do', (_case, modules, message) => {
  const { config, diagnostics } = load(modules, 'memory')
  expect(config).toBeUndefined()
  const [problem] = diagnostics
  expect(problem).toMatchObject({ code: 'TRV1010', line: 2, column: 15, help: expect.any(String) })
  expect(problem?.message).toContain(message)
  expect(problem?.message).not.toContain('secret')
})
