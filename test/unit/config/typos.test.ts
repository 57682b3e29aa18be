import { describe, expect, test } from '@jest/globals'
import { protocols } from '../../../protocols/index.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { connectionKeys, fromKeys, gatewaySection, routeKeys, targetKeys } from '../../../src/config/schema/schema.ts'
import { keysOf } from '../../../src/config/schema/schema-walk.ts'

type Config = Record<string, unknown>
type Place = (config: Config) => Config

interface Mapping {
  readonly keys: readonly string[]
  readonly reach: Place
}

const child = (value: unknown, key: string | number) => (value as Record<string | number, Config>)[key] as Config
const route: Place = (config) => child(config.routes, 0)

/** Mappings of the gateway's own grammar; they read alike with every protocol. */
const ownMappings: readonly Mapping[] = [
  mapping(['gateway', 'connections', 'routes'], [], (config) => config),
  mapping(keysOf(gatewaySection), [], (config) => child(config, 'gateway')),
  mapping([...Object.keys(routeKeys), 'from', 'to', 'deadLetter'], [], route),
  mapping(['attempts', 'delay', 'maxDelay'], [], (config) => child(route(config), 'retry')),
]

/** Mappings that hold the keys of a protocol. */
function mappingsOf(name: string): readonly Mapping[] {
  const protocol = protocols.find((one) => one.name === name)
  const { connection, source, sink } = protocol!
  return [
    mapping(keysOf(connection), Object.keys(connectionKeys), (config) => child(config.connections, 'one')),
    mapping(keysOf(source!.schema), Object.keys(fromKeys), (config) => child(route(config), 'from')),
    mapping(keysOf(sink!.schema), Object.keys(targetKeys), (config) => child(route(config).to, 0)),
  ]
}

function mapping(own: readonly string[], common: readonly string[], reach: Place): Mapping {
  return { keys: [...common, ...own], reach }
}

const settings: Record<string, { connection: object; from: object; to: object }> = {
  mqtt: { connection: { url: 'mqtt://localhost:1883' }, from: { topic: 'a/#' }, to: { topic: 'b' } },
  amqp: { connection: { url: 'amqp://localhost:5672' }, from: { queue: 'a' }, to: { queue: 'b' } },
  kafka: { connection: { brokers: ['localhost:9092'] }, from: { topic: 'a' }, to: { topic: 'b' } },
  memory: { connection: {}, from: { topic: 'a/#' }, to: { topic: 'b' } },
}

function example(name: string): Config {
  const { connection, from, to } = settings[name] ?? { connection: {}, from: {}, to: {} }
  return {
    gateway: { id: 'x' },
    connections: { one: { protocol: name, ...connection } },
    routes: [{ name: 'r', from: { connection: 'one', ...from }, retry: {}, to: [{ connection: 'one', ...to }] }],
  }
}

/** One character left out, doubled, swapped with the next, or struck wrong. */
function typosOf(key: string): string[] {
  const at = Array.from(key, (_, i) => i)
  const edits = at.flatMap((i) => [
    key.slice(0, i) + key.slice(i + 1),
    key.slice(0, i + 1) + key.slice(i),
    key.slice(0, i) + key.charAt(i + 1) + key.charAt(i) + key.slice(i + 2),
    `${key.slice(0, i)}z${key.slice(i + 1)}`,
  ])
  return [...new Set(edits)].filter((edit) => edit !== key && edit !== '')
}

function suggestionFor(name: string, reach: Place, key: string, typo: string): string | undefined {
  const config = example(name)
  const found = reach(config)
  found[typo] = found[key] ?? null
  delete found[key]
  const { diagnostics } = loadConfig(JSON.stringify(config), { file: 'x', env: {}, protocols })
  return diagnostics.find(({ code, message }) => code === 'TRV2001' && message.includes(`\`${typo}\``))?.suggestion
}

describe('a key with one wrong character', () => {
  test.each(Object.keys(settings))('is guessed right in at least 95 of 100 cases: %s', (name) => {
    const mappings = name === 'memory' ? [...ownMappings, ...mappingsOf(name)] : mappingsOf(name)
    const outcomes = mappings.flatMap(({ keys, reach }) =>
      keys.flatMap((key) =>
        typosOf(key)
          .filter((typo) => !keys.includes(typo))
          .map((typo) => ({ typo, key, suggestion: suggestionFor(name, reach, key, typo) })),
      ),
    )
    const wrong = outcomes.filter(({ key, suggestion }) => suggestion !== key)

    expect(outcomes.length).toBeGreaterThan(300)
    expect({ isGood: wrong.length / outcomes.length <= 0.05, wrong }).toMatchObject({ isGood: true })
  })
})
