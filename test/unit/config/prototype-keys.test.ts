/** Keys that every object of the language seems to have, in every mapping of a configuration: unknown ones like any other. */
import { expect, test } from '@jest/globals'
import { protocols } from '../../../protocols/index.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { renderDiagnostics } from '../../../src/config/report/render.ts'

const names = [...Object.getOwnPropertyNames(Object.prototype), 'prototype']

/** JSON is YAML. Every kind of mapping there is; the file is right but for the key that is put in. */
const right = {
  gateway: { id: 'g', admin: { listen: '127.0.0.1:0' } },
  store: { onFull: 'wait' },
  connections: {
    plant: {
      protocol: 'mqtt',
      url: 'mqtts://broker:1883',
      tls: {},
      will: { topic: 'w' },
    },
    devices: {
      protocol: 'mqtt',
      listen: 'mqtt://127.0.0.1:1883',
      users: [{ username: 'u', password: 'p', publish: ['a'] }],
    },
    events: {
      protocol: 'kafka',
      brokers: ['k:9092'],
      sasl: { mechanism: 'scram-sha-512', username: 'u', password: 'p' },
    },
    orders: { protocol: 'amqp', url: 'amqp://broker' },
  },
  routes: [
    {
      name: 'readings',
      from: { connection: 'plant', topic: 'a' },
      filter: [{ field: 'payload.a', operator: 'exists' }],
      set: { eventType: "'x'" },
      retry: { attempts: 2 },
      to: [{ connection: 'events', topic: 'b' }],
      deadLetter: { connection: 'orders', queue: 'q' },
    },
    {
      name: 'orders',
      from: {
        connection: 'orders',
        queue: 'in',
        bind: { exchange: 'e', arguments: { a: 1 } },
        declare: { durable: true },
      },
      to: [{ connection: 'devices', topic: 'c' }],
    },
  ],
}

/** The way to each mapping. */
function mappings(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return []
  const inner = Object.entries(value).flatMap(([key, one]) =>
    mappings(one, [...path, Array.isArray(value) ? Number(key) : key]),
  )
  return Array.isArray(value) ? inner : [path, ...inner]
}

/** The text with one more key in the mapping at `path`; as text, for no object can hold it. */
function withKey(path: readonly (string | number)[], name: string): string {
  const copy = structuredClone(right)
  const place = path.reduce<Record<string, unknown>>((inner, key) => inner[key] as Record<string, unknown>, copy)
  place['put in'] = 1
  return JSON.stringify(copy).replace('"put in"', JSON.stringify(name))
}

const load = (text: string) => loadConfig(text, { file: 'trivium.yaml', env: {}, protocols })

test('the file is right without them', () => {
  expect(load(JSON.stringify(right)).diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
})

test.each(names)('`%s` is told wherever it stands, and nothing else is', (name) => {
  for (const path of mappings(right)) {
    const text = withKey(path, name)
    const { config, diagnostics } = load(text)
    const errors = diagnostics.filter(({ severity }) => severity === 'error')
    if (isOpen(path)) continue // any name goes in there, or is refused for another reason: no exception is all
    expect({ path, config, codes: errors.map(({ code }) => code) }).toEqual({
      path,
      config: undefined,
      codes: ['TRV2001'],
    })
    expect(renderDiagnostics(errors, text)).toContain(`unknown key \`${name}\``)
  }
})

/** Where names are the user's own. */
function isOpen(path: readonly (string | number)[]): boolean {
  return ['set', 'arguments', 'connections'].includes(String(path.at(-1)))
}

test('a connection may have such a name, where it is one', () => {
  const text = JSON.stringify(right).replaceAll('"plant"', '"constructor"').replaceAll('"events"', '"toString"')
  const { config } = load(text)
  expect([...(config?.connections.keys() ?? [])]).toEqual(['constructor', 'devices', 'toString', 'orders'])
  expect(config?.routes[0]?.to[0]?.connection).toBe('toString')
})
