import { describe, expect, test } from '@jest/globals'
import { protocols } from '../../../protocols/index.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { hideUrlPasswords, redact } from '../../../src/config/redact.ts'
import { renderDiagnostics } from '../../../src/config/render.ts'

const canary = 'hunter2'
const text = `
gateway: { admin: { token: ${canary} } }
connections:
  plant: { protocol: mqtt, url: "mqtt://broker:1883", username: gateway, password: ${canary} }
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:1883", users: [{ username: u, password: ${canary} }] }
  events: { protocol: kafka, brokers: ["k:9092"], sasl: { mechanism: scram-sha-512, username: u, password: ${canary} } }
  orders: { protocol: amqp, url: "amqp://gateway:${canary}@broker:5672" }
routes:
  - name: readings
    from: { connection: plant, topic: a/# }
    to: [{ connection: events, topic: telemetry }]
`
const load = (source: string) => loadConfig(source, { file: 'trivium.yaml', env: {}, protocols })

describe('secrets', () => {
  test('are kept in the loaded configuration and hidden by redact', () => {
    const { config } = load(text)
    const shown = redact(config!, protocols)

    expect(config?.connections.get('plant')?.settings).toMatchObject({ password: canary })
    expect(JSON.stringify(shown)).not.toContain(canary)
    expect(shown).toMatchObject({
      gateway: { admin: { token: '***' } },
      connections: {
        plant: { settings: { username: 'gateway', password: '***', url: 'mqtt://broker:1883' } },
        orders: { settings: { url: 'amqp://gateway:***@broker:5672' } },
      },
      routes: [{ to: [{ settings: { topic: 'telemetry' } }] }],
    })
  })

  test('are warned of, each of them, and not shown in the excerpt', () => {
    const { diagnostics } = load(text)

    expect(diagnostics.filter(({ code }) => code === 'TRV4002')).toHaveLength(5)
    expect(renderDiagnostics(diagnostics, text)).not.toContain(canary)
  })

  test.each([
    ['an unknown protocol', text.replace('protocol: kafka', 'protocol: kafak')],
    ['a wrong type', text.replace(`password: ${canary} }\n  dev`, `password: [${canary}] }\n  dev`)],
    ['broken YAML', text.replace('routes:', 'routes: "')],
    ['a broken line with a password', text.replace(`password: ${canary} }\n  dev`, `password: ${canary}\n  dev`)],
  ])('are not shown beside %s', (_name, source) => {
    expect(source).not.toBe(text)
    expect(renderDiagnostics(load(source).diagnostics, source)).not.toContain(canary)
  })

  test.each([
    ['amqp://u:p@h/v', 'amqp://u:***@h/v'],
    ['amqp://u:p@ss@h', 'amqp://u:***@h'],
    ['see mqtt://u:p@h and amqp://v:q@h', 'see mqtt://u:***@h and amqp://v:***@h'],
    ['amqp://h:5672/a@b', 'amqp://h:5672/a@b'],
  ])('%s is shown as %s', (url, shown) => {
    expect(hideUrlPasswords(url)).toBe(shown)
  })
})
