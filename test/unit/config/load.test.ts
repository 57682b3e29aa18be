import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { protocols } from '../../../protocols/index.ts'
import { type LoadOptions, loadConfig, loadConfigFile } from '../../../src/config/load.ts'
import { renderDiagnostics } from '../../../src/config/report/render.ts'

const minimal = `
connections:
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:1883" }
  events: { protocol: kafka, brokers: ["localhost:9092"] }
routes:
  - name: readings
    from: { connection: devices, topic: "sensors/{site}" }
    to: [{ connection: events, topic: telemetry }]
`

function load(text: string, options: Partial<LoadOptions> = {}) {
  const readFile = () => {
    throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
  }
  return loadConfig(text, { file: 'trivium.yaml', env: {}, readFile, protocols, ...options })
}

const codes = (text: string, options?: Partial<LoadOptions>) => load(text, options).diagnostics.map(({ code }) => code)

describe('loading', () => {
  test('takes the whole example of the design without an error', () => {
    const text = readFileSync(join(import.meta.dirname, 'design-example.yaml'), 'utf8')
    const readFile = (path: string) => (path === '/run/secrets/amqp' ? 's3cret\n' : '')
    const { config, diagnostics } = load(text, { readFile })

    expect(diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
    expect(config?.connections.get('orders')?.settings).toMatchObject({ url: 'amqp://guest:s3cret@localhost:5672' })
    const [route] = config?.routes ?? []
    expect(route).toMatchObject({
      name: 'hot-telemetry',
      from: { connection: 'devices', protocol: 'mqtt', settings: { qos: 1 } },
      retry: { attempts: 8, delayMs: 200, maxDelayMs: 60_000 },
      acknowledge: 'stored',
      deadLetter: { connection: 'orders', settings: { queue: 'dead' } },
    })
    expect([...(route?.set.keys() ?? [])]).toEqual(['eventType', 'headers.priority', 'payload.celsius'])
    expect(route?.filter.map(({ operator }) => operator)).toEqual(['equals', 'matches_regex'])
  })

  test('fills the defaults in', () => {
    const { config, diagnostics } = load(minimal)

    expect(diagnostics).toEqual([])
    expect(config?.gateway).toEqual({
      id: 'trivium',
      dataDir: './data',
      admin: { host: '127.0.0.1', port: 7070, token: undefined },
      maxInFlight: 10_000,
      maxInFlightBytes: 64 * 1024 ** 2,
      drainMs: 15_000,
      notes: [],
    })
    expect(config?.routes[0]).toMatchObject({
      filter: [],
      match: 'all',
      order: 'key',
      acknowledge: 'stored',
      deduplicate: undefined,
      retry: { attempts: 8, delayMs: 200, maxDelayMs: 60_000 },
      deadLetter: undefined,
    })
    expect(config?.store).toEqual({
      maxBytes: 4 * 1024 ** 3,
      maxAgeMs: undefined,
      onFull: 'wait',
      deadLetters: { maxBytes: 1024 ** 3, maxAgeMs: undefined, onFull: 'wait' },
    })
  })

  test('reads the destinations a target allows from a list, a text or a file, and how many there may be', () => {
    const to = (more: string) => {
      const text = minimal.replace('topic: telemetry }', `topic: "t.{payload.x}", ${more} }`)
      const { config, diagnostics } = load(text, { readFile: () => '# of the plant\nt.a\n\n t.b.*\n' })
      expect(diagnostics).toEqual([])
      return config?.routes[0]?.to[0]
    }
    expect(to('allow: [t.a, "t.b.*"]')?.allow).toEqual(['t.a', 't.b.*'])
    expect(to('allow: "t.a, t.b.*"')?.allow).toEqual(['t.a', 't.b.*'])
    expect(to('allow: "${file:list}"')?.allow).toEqual(['t.a', 't.b.*'])
    expect(to('allow: [t.c, "${file:list}"]')?.allow).toEqual(['t.c', 't.a', 't.b.*'])
    const usual = { count: 1_000, withinMs: 86_400_000, onLimit: 'deadLetter' }
    expect(to('maxDestinations: 20')?.maxDestinations).toEqual({ ...usual, count: 20 })
    expect(to('maxDestinations: { within: 1h, onLimit: wait }')?.maxDestinations).toEqual({
      ...{ count: 1_000, withinMs: 3_600_000, onLimit: 'wait' },
    })
  })

  test('reads the settings of the store', () => {
    const letters = 'deadLetters: { maxBytes: 2MiB, maxAge: 30d, onFull: dropOldest }'
    const store = `store: { maxBytes: 64MiB, maxAge: 36h, onFull: deadLetterOldest, ${letters} }`
    expect(load(`${store}${minimal}`).config?.store).toEqual({
      maxBytes: 64 * 1024 ** 2,
      maxAgeMs: 36 * 3_600_000,
      onFull: 'deadLetterOldest',
      deadLetters: { maxBytes: 2 * 1024 ** 2, maxAgeMs: 30 * 86_400_000, onFull: 'dropOldest' },
    })
  })

  test('gives no configuration when there is an error, and one when there are only warnings', () => {
    expect(load(minimal.replace('topic: telemetry', 'tpoic: telemetry')).config).toBeUndefined()
    const idle = '  idle: { protocol: memory }\nroutes:'
    expect(load(minimal.replace('routes:', idle))).toMatchObject({ config: {}, diagnostics: [{ code: 'TRV4003' }] })
  })

  test.each([
    'gateway: { admin: false }',
    'gateway: { admin: { listen: off } }',
    'gateway: { admin: { listen: false } }',
  ])('has no admin interface with %s', (gateway) => {
    expect(load(`${gateway}${minimal}`).config?.gateway.admin).toBeUndefined()
  })

  test('lets the environment win over the file', () => {
    const env = { TRIVIUM_DATA_DIR: '/data', TRIVIUM_ADMIN_LISTEN: '[::1]:7071', TRIVIUM_ADMIN_TOKEN: 't0ken' }
    const { config } = load(`gateway: { dataDir: ./x, admin: { listen: off, token: other } }${minimal}`, { env })

    expect(config?.gateway.dataDir).toBe('/data')
    expect(config?.gateway.admin).toEqual({ host: '::1', port: 7071, token: 't0ken' })
  })

  test('says which variable is wrong', () => {
    const { config, diagnostics } = load(minimal, { env: { TRIVIUM_ADMIN_LISTEN: '7070' } })

    expect(config).toBeUndefined()
    expect(diagnostics).toMatchObject([{ code: 'TRV2005', file: 'environment', line: 0 }])
    const port = load(minimal, { env: { TRIVIUM_ADMIN_LISTEN: '127.0.0.1:99999' } })
    expect(port.diagnostics).toMatchObject([{ message: 'TRIVIUM_ADMIN_LISTEN: port 99999 is not within 0-65535' }])
  })

  test('takes no empty variable for a token, and for none only beside that of the file', () => {
    const env = { TRIVIUM_ADMIN_TOKEN: '' }
    const message = 'TRIVIUM_ADMIN_TOKEN: is set but empty; unset it if there is no token'
    expect(load(minimal, { env }).diagnostics).toMatchObject([{ code: 'TRV2005', file: 'environment', message }])
    const { config } = load(`gateway: { admin: { token: "\${env:T}" } }${minimal}`, { env: { ...env, T: 'other' } })
    expect(config?.gateway.admin).toMatchObject({ token: 'other' })
  })

  test('follows aliases', () => {
    const text = `${minimal}    retry: &patient { attempts: 20 }\n${minimal.slice(minimal.indexOf('  - name')).replace('readings', 'copies')}    retry: *patient\n`
    expect(load(text).config?.routes.map(({ retry }) => retry.attempts)).toEqual([20, 20])
  })

  test('does not unfold aliases without end', () => {
    const lines = Array.from({ length: 12 }, (_, i) => `x${i + 1}: &x${i + 1} [${Array(10).fill(`*x${i}`).join(', ')}]`)
    expect(codes(`x0: &x0 [a]\n${lines.join('\n')}\n`)).toContain('TRV1009')
  })

  test('reads a file, and says why it cannot', () => {
    const readFile = () => 's3cret'
    const file = (name: string) => loadConfigFile(join(import.meta.dirname, name), { env: {}, readFile, protocols })

    expect(file('design-example.yaml')).toMatchObject({ config: {}, text: expect.stringContaining('hot-telemetry') })
    expect(() => file('nowhere.yaml')).toThrow(/^no such file: .*nowhere\.yaml$/)
    expect(() => file('golden')).toThrow(/golden cannot be read: it is a directory$/)
  })
})

describe('when the sender is told', () => {
  const sources: Record<string, string> = {
    'the embedded MQTT broker': 'connection: devices, topic: a',
    'an MQTT broker': 'connection: plant, topic: a',
    AMQP: 'connection: orders, queue: a',
    Kafka: 'connection: events, topic: a',
  }
  const acknowledge = (from: string, rest = '') => {
    const text = `
connections:
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:1883" }
  plant: { protocol: mqtt, url: "mqtt://127.0.0.1:1884" }
  events: { protocol: kafka, brokers: ["localhost:9092"] }
  orders: { protocol: amqp, url: "amqp://localhost" }
routes:
  - name: readings
    from: { ${from} }
    to: [{ connection: events, topic: telemetry }]
${rest}`
    const { config, diagnostics } = load(text)
    expect(diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
    return config?.routes[0]
  }

  test.each([
    ['the embedded MQTT broker', 'stored'],
    ['an MQTT broker', 'stored'],
    ['AMQP', 'delivered'],
    ['Kafka', 'delivered'],
  ])('by %s: %s, unless the route says otherwise', (name, usual) => {
    const from = sources[name] ?? ''
    expect(acknowledge(from)?.acknowledge).toBe(usual)
    expect(acknowledge(from, '    acknowledge: stored\n')?.acknowledge).toBe('stored')
    expect(acknowledge(from, '    acknowledge: delivered\n')?.acknowledge).toBe('delivered')
  })

  test('stored where repeated messages are looked for', () => {
    const dedupe = '    deduplicate: 10m\n'
    expect(acknowledge(sources.Kafka ?? '', dedupe)).toMatchObject({
      ...{ acknowledge: 'stored', deduplicate: { windowMs: 600_000, by: undefined, scope: undefined } },
    })
    const long = '    deduplicate: { by: payload.id, window: 10m, scope: orders }\n'
    expect(acknowledge(sources.Kafka ?? '', long)).toMatchObject({
      ...{ acknowledge: 'stored', deduplicate: { windowMs: 600_000, by: 'payload.id', scope: 'orders' } },
    })
  })
})

describe('a protocol of one direction', () => {
  const [mqtt, ...others] = protocols
  const { source, sink, ...rest } = mqtt!

  test('cannot be read from without a source', () => {
    expect(codes(minimal, { protocols: [{ ...rest, sink: sink! }, ...others] })).toEqual(['TRV2010'])
  })

  test('cannot be sent to without a sink', () => {
    const text = minimal.replace('{ connection: events, topic: telemetry }', '{ connection: devices, topic: b }')
    expect(codes(text, { protocols: [{ ...rest, source: source! }, ...others] })).toEqual(['TRV2011'])
  })
})

describe('any text', () => {
  const example = readFileSync(join(import.meta.dirname, 'design-example.yaml'), 'utf8')

  test('is read without an exception, and every place is within it', () => {
    const piece = fc.constantFrom(
      '',
      ' ',
      '\n',
      '"',
      '{',
      '}',
      '[',
      ']',
      ':',
      '- ',
      '#',
      '*a',
      '&a ',
      '7',
      'null',
      'x',
      '${',
      '\r\n',
    )
    const edit = fc.tuple(fc.nat(example.length), fc.nat(40), piece)
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const text = edits.reduce(
          (t, [at, length, inserted]) => t.slice(0, at) + inserted + t.slice(at + length),
          example,
        )
        const lines = text.split('\n').length
        const { config, diagnostics } = load(text)
        expect(config === undefined).toBe(diagnostics.some(({ severity }) => severity === 'error'))
        expect(renderDiagnostics(diagnostics, text)).toBeDefined()
        for (const { line } of diagnostics) expect(line).toBeLessThanOrEqual(lines)
      }),
      { numRuns: 300 },
    )
  })
})

describe('references', () => {
  const broker = (text: string) => minimal.replace('localhost:9092', text)
  const brokers = (text: string, env: Record<string, string>) =>
    load(broker(text), { env }).config?.connections.get('events')?.settings

  test('are filled in within text, with defaults', () => {
    expect(brokers('${env:HOST}:${env:PORT:-9092}', { HOST: 'kafka' })).toMatchObject({ brokers: ['kafka:9092'] })
  })

  test('give a number where the schema asks for one', () => {
    const text = `gateway: { maxInFlight: "\${env:MANY}" }${minimal}`
    expect(load(text, { env: { MANY: '77' } }).config?.gateway.maxInFlight).toBe(77)
    expect(codes(text, { env: { MANY: 'lots' } })).toEqual(['TRV2003'])
  })

  test('that fail are the only complaint about their value', () => {
    expect(codes(broker('${env:HOST}'))).toEqual(['TRV1006'])
  })

  test('are not read from what was filled in', () => {
    expect(brokers('${env:A}', { A: '${env:B}', B: 'kafka:9092' })).toBeUndefined()
  })

  test('in keys and comments are left alone', () => {
    expect(codes(`${minimal}# \${env:NOT_SET}\n`)).toEqual([])
  })

  test('are escaped in the user and password of a URL, and nowhere else', () => {
    const text = `${minimal.replace('routes:', '  orders: { protocol: amqp, url: "amqp://guest:${env:PASSWORD}@${env:HOST}/a" }\nroutes:')}`
    const env = { PASSWORD: 'p@ss/%41%', HOST: 'localhost:5672' }
    expect(load(text, { env }).config?.connections.get('orders')?.settings).toMatchObject({
      url: 'amqp://guest:p%40ss%2F%41%25@localhost:5672/a',
    })
  })
})

describe('circles', () => {
  const circle = (allow: string) => `
connections: { events: { protocol: kafka, brokers: ["localhost:9092"] }, orders: { protocol: amqp, url: "amqp://localhost" } }
routes:
  - { name: out, from: { connection: orders, queue: orders }, to: [{ connection: events, topic: orders }] }
  - name: by-region
    from: { connection: events, topic: orders }
    when: has(payload.region)
    to: [{ connection: orders, queue: "{payload.region}", allow: ${allow} }]
`

  test('where no destination that is allowed leads back, there is none', () => {
    expect(codes(circle('[eu, us]'))).toEqual([])
    expect(codes(circle('[eu, orders]'))).toEqual(['TRV4004'])
  })
})
