/** Dockerfile, docker-compose.yml and deploy/ against the code they run: there is no container engine in a unit test. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { parse, parseAllDocuments } from 'yaml'
import { protocols } from '../../protocols/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { trivium } from './cli/command.ts'

const root = join(import.meta.dirname, '../..')
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
const version: string = JSON.parse(read('package.json')).version

/** The instructions of a Dockerfile, comments left out. */
const dockerfile = read('Dockerfile')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => ({ name: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1) }))
const all = (name: string): string[] => dockerfile.filter((line) => line.name === name).map(({ rest }) => rest)

interface Service {
  readonly image: string
  readonly build?: string
  readonly ports: readonly string[]
  readonly volumes: readonly string[]
  readonly environment?: Readonly<Record<string, string | number>>
  readonly healthcheck: { readonly test: readonly string[] }
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
}
const compose = parse(read('docker-compose.yml')) as {
  services: Record<'trivium' | 'kafka' | 'rabbitmq' | 'mosquitto', Service>
  volumes: Record<string, null>
}
const { services } = compose

function expectValid(yaml: string): void {
  const { diagnostics } = loadConfig(yaml, { file: 'container.yaml', env: {}, protocols })
  expect(diagnostics).toEqual([])
}

describe('Dockerfile', () => {
  test('two stages, both with the major version of Node that a clone needs and the package was tested on', () => {
    const [, major] = /isClone \? \[(\d+), 0\]/.exec(read('bin/trivium.js')) ?? []
    const [build, run, ...others] = all('FROM')
    expect(others).toEqual([])
    expect(build).toBe(`node:${major}-slim AS build`)
    expect(run).toBe(`gcr.io/distroless/nodejs${major}-debian12:nonroot`)
  })

  test('it runs as a user that is not root, and writes to /data only', () => {
    expect(all('USER')).toEqual(['65532:65532'])
    expect(all('VOLUME')).toEqual(['/data'])
    expect(all('COPY')).toContain('--from=build --chown=65532:65532 /data /data')
    expect(all('ENV').join(' ')).toContain('TRIVIUM_DATA_DIR=/data')
  })

  test('without a shell: entry point, command and health check are lists', async () => {
    const [entry, command] = [all('ENTRYPOINT'), all('CMD')].map(([text = '']) => JSON.parse(text) as string[])
    const [, check = ''] = / CMD (\[.*\])$/.exec(all('HEALTHCHECK')[0] ?? '') ?? []
    expect(entry).toEqual(['/nodejs/bin/node', '/app/bin/trivium.js'])
    const [node, launcher, ...args] = JSON.parse(check) as string[]
    expect([node, launcher]).toEqual(entry)
    // port 1 answers nobody: the check ends with 1, as a health check must, and not with 64 for a flag it does not know
    const env = { TRIVIUM_ADMIN_LISTEN: '127.0.0.1:1' }
    expect(await trivium(args, { env })).toMatchObject({ code: 1 })
    expect(await trivium([...(command ?? []), '/no/such.yaml'])).toMatchObject({ code: 66 })
  })

  test('what it copies is there and let through by .dockerignore', () => {
    const copied = all('COPY')
      .filter((rest) => !rest.startsWith('--from'))
      .flatMap((rest) => rest.split(' ').slice(0, -1))
    const allowed = read('.dockerignore')
      .split('\n')
      .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []))
    expect(copied.sort()).toEqual(allowed.sort())
    for (const name of copied) expect(existsSync(join(root, name))).toBe(true)
  })

  test('it runs the bundle: no sources, and of the packages those that the bundle leaves outside', () => {
    const fromBuild = all('COPY').filter((rest) => rest.startsWith('--from=build') && !rest.includes('--chown'))
    expect(fromBuild.map((rest) => rest.split(' ').at(-1)).sort()).toEqual([
      'bin',
      'dist',
      'node_modules',
      'package.json',
    ])
    expect(all('RUN').join('\n')).toMatch(/npm run build && npm prune .*--omit=dev/)
  })

  test('every package the sources import has an exact version in the manifest', () => {
    const manifest = JSON.parse(read('package.json')) as Record<'dependencies' | 'devDependencies', object>
    const known = { ...manifest.dependencies, ...manifest.devDependencies }
    const imported = new Set<string>()
    for (const folder of ['src', 'protocols']) {
      for (const file of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('.ts')) continue
        for (const [, name = ''] of read(join(folder, file)).matchAll(/^import (?!type)[^;']*from '([^'.][^']*)'/gm)) {
          if (!name.startsWith('node:'))
            imported.add(
              name
                .split('/')
                .slice(0, name.startsWith('@') ? 2 : 1)
                .join('/'),
            )
        }
      }
    }
    expect([...imported].filter((name) => !(name in known))).toEqual([])
  })
})

describe('docker-compose.yml', () => {
  test('its images', () => {
    expect(services.trivium).toMatchObject({
      build: '.',
      image: `trivium:${version}`,
      read_only: true,
      cap_drop: ['ALL'],
    })
    expect(services.kafka.image).toMatch(/^apache\/kafka:4\./)
    expect(services.rabbitmq.image).toBe('rabbitmq:4-management')
    expect(services.mosquitto.image).toMatch(/^eclipse-mosquitto:2/)
  })

  test('the ports that the tests use, on this machine only, and none twice', () => {
    const ports = Object.values(services).flatMap(({ ports }) => ports)
    for (const port of [9092, 5672, 15672, 1883, 7070]) expect(ports).toContain(`127.0.0.1:${port}:${port}`)
    expect(new Set(ports).size).toBe(5)
    const source = read('test/support/brokers/compose.ts')
    const used = [...source.matchAll(/service: '(\w+)', address: '\D*127\.0\.0\.1:(\d+)'/g)]
    expect(used).toHaveLength(3)
    for (const [, service, port] of used) {
      expect(services[service as 'kafka'].ports).toContain(`127.0.0.1:${port}:${port}`)
    }
  })

  test.each(Object.keys(services))('%s has a health check without a shell, and volumes that are there', (name) => {
    const { healthcheck, volumes } = services[name as 'kafka']
    expect(healthcheck.test[0]).toBe('CMD')
    for (const volume of volumes) {
      const [source = ''] = volume.split(':')
      if (source.startsWith('./')) expect(existsSync(join(root, source))).toBe(true)
      else expect(compose.volumes).toHaveProperty(source)
    }
  })

  test('the gateway waits for healthy brokers, asks itself whether it is ready, and its configuration is valid', () => {
    expect(services.trivium.depends_on).toEqual({
      kafka: { condition: 'service_healthy' },
      rabbitmq: { condition: 'service_healthy' },
      mosquitto: { condition: 'service_healthy' },
    })
    expect(services.trivium.healthcheck.test).toEqual(['CMD', '/nodejs/bin/node', '/app/bin/trivium.js', 'health'])
    const config = read('deploy/compose/trivium.yaml')
    expectValid(config)
    const hosts = [...config.matchAll(/(?:\/\/|@|\[")([a-z]+):\d+"/g)].map(([, host]) => host)
    expect(hosts.sort()).toEqual(['kafka', 'mosquitto', 'rabbitmq'])
  })

  test('Kafka tells this machine and the other containers each an address of their own', () => {
    const environment = services.kafka.environment ?? {}
    const advertised = String(environment.KAFKA_ADVERTISED_LISTENERS).split(',')
    expect(advertised).toEqual(['PLAINTEXT_HOST://localhost:9092', 'PLAINTEXT://kafka:19092'])
    const listeners = String(environment.KAFKA_LISTENERS)
      .split(',')
      .map((text) => text.split('://')[0])
    const protocolOf = String(environment.KAFKA_LISTENER_SECURITY_PROTOCOL_MAP)
      .split(',')
      .map((text) => text.split(':')[0])
    expect(protocolOf.sort()).toEqual(listeners.sort())
    expect(read('deploy/compose/trivium.yaml')).toContain('kafka:19092')
  })
})

describe('deploy/kubernetes/sidecar.yaml', () => {
  const [configMap, pod] = parseAllDocuments(read('deploy/kubernetes/sidecar.yaml')).map((document) => document.toJS())

  test('its configuration is valid', () => {
    expectValid(configMap.data['trivium.yaml'])
    expect(configMap.metadata.labels['app.kubernetes.io/version']).toBe(version)
  })

  test('docs/sidecar.md shows a part of it, unchanged', () => {
    const [, snippet = ''] = /```yaml\n(initContainers:\n.*?)```/s.exec(read('docs/sidecar.md')) ?? []
    const shown = parse(snippet).initContainers[0]
    const { env, ports: _ports, volumeMounts: _mounts, ...container } = pod.spec.initContainers[0]
    expect({ ...shown, env: undefined }).toEqual({ ...container, env: undefined })
    for (const variable of shown.env) expect(env).toContainEqual(variable)
  })

  test('it ends before Kubernetes ends it', () => {
    const drain = Number(/drain: (\d+)s/.exec(configMap.data['trivium.yaml'])?.[1])
    expect(drain).toBeLessThan(pod.spec.terminationGracePeriodSeconds)
  })
})
