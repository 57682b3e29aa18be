import { expect, it } from '@jest/globals'
import { protocols } from '../../../../protocols/index.ts'
import type { KafkaConnection } from '../../../../protocols/kafka/config.ts'
import { loadConfig } from '../../../../src/config/load.ts'

const yaml = (brokers: string) => `
connections:
  events: { protocol: kafka, brokers: ${brokers} }
  here: { protocol: mqtt, listen: "mqtt://127.0.0.1:0" }
routes: [{ name: r, from: { connection: here, topic: t }, to: [{ connection: events, topic: t }] }]
`
const load = (brokers: string, env: Record<string, string> = {}) =>
  loadConfig(yaml(brokers), { file: 'test.yaml', env, protocols })

it.each([
  ['a list from one variable', '["${env:BROKERS}"]', 'a:9092,b:9092', ['a:9092', 'b:9092']],
  ['white space and a comma at the end', '["${env:BROKERS}"]', ' a:9092 , [::1]:9093,', ['a:9092', '[::1]:9093']],
  ['beside others, each once', '["b:9092", "${env:BROKERS}"]', 'a:9092,b:9092', ['b:9092', 'a:9092']],
])('brokers may be %s', (_, brokers, value, expected) => {
  const { config, diagnostics } = load(brokers, { BROKERS: value })
  expect(diagnostics).toEqual([])
  expect(config!.connections.get('events')!.settings as KafkaConnection).toMatchObject({ brokers: expected })
})

it.each([
  ['a:9092,b', 'address 2 of 2: expected host:port'],
  ['', 'the address has no host'],
  [',', 'the address has no host'],
  ['user:pw@a:9092,b:9092', 'address 1 of 2: expected host:port'],
])('brokers cannot be %p', (value, message) => {
  const { diagnostics } = load('["${env:BROKERS}"]', { BROKERS: value })
  expect(diagnostics.map((each) => each.message)).toEqual([expect.stringContaining(message)])
  expect(JSON.stringify(diagnostics)).not.toContain('pw')
})
