/** SASL and TLS against a Kafka of our own, whose users and certificates are made here. */

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { kafka } from '../../protocols/kafka/index.ts'
import { answers } from '../support/brokers/answers.ts'
import { commandPath, kafkaLibrary } from '../support/brokers/install.ts'
import { newClusterId } from '../support/brokers/kafka.ts'
import { dataFolder, launch, type Running } from '../support/brokers/process.ts'
import { makeContext, outbound } from '../support/contexts/kafka.ts'
import { never } from '../support/contexts/messages.ts'
import { eventually } from '../support/poll.ts'
import { freePorts } from '../support/ports.ts'

const folder = dataFolder('kafka-sasl')
const user = { username: 'gateway', password: 'gateway-secret' }
const plainModule = 'org.apache.kafka.common.security.plain.PlainLoginModule'
const scramModule = 'org.apache.kafka.common.security.scram.ScramLoginModule'

let broker: Running
let ports: { plaintext: number; sasl: number; tls: number }
let ca: string

beforeAll(async () => {
  const [plaintext, sasl, tls, controller] = (await freePorts(4)) as [number, number, number, number]
  ports = { plaintext, sasl, tls }
  ca = makeCertificate()
  const file = join(folder, 'server.properties')
  writeFileSync(file, properties({ ...ports, controller }))
  const onClasspath = ['-cp', join(await kafkaLibrary(), '*')]
  const scram = [256, 512].flatMap((bits) => [
    '--add-scram',
    `SCRAM-SHA-${bits}=[name=${user.username},password=${user.password}]`,
  ])
  const format = ['kafka.tools.StorageTool', 'format', '-t', newClusterId(), '-c', file, ...scram]
  execFileSync(commandPath('java'), [...onClasspath, ...format], { stdio: 'ignore' })
  broker = await launch({
    name: 'Kafka',
    command: commandPath('java'),
    args: ['-Xmx512m', ...onClasspath, 'kafka.Kafka', file],
    folder,
    port: plaintext,
    address: `127.0.0.1:${plaintext}`,
    ready: () =>
      answers({
        port: plaintext,
        request: Uint8Array.of(0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 255, 255, 0, 0, 0, 0), // metadata v1
        isAnswer: (bytes) => bytes.length >= 12 && bytes.readInt32BE(8) > 0,
        withinMs: 60_000,
      }),
  })
}, 90_000)
afterAll(() => broker?.stop())

function makeCertificate(): string {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost']
  const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  execFileSync(commandPath('openssl'), [...request, ...names, '-keyout', key, '-out', cert], { stdio: 'ignore' })
  return cert
}

function properties(at: { plaintext: number; sasl: number; tls: number; controller: number }): string {
  const pem = (name: string) => readFileSync(join(folder, name), 'utf8').replaceAll('\n', '\\n')
  const jaas = (module: string, users = '') => `${module} required${users};`
  const client = `PLAIN://127.0.0.1:${at.plaintext},SASL://127.0.0.1:${at.sasl},SECURE://localhost:${at.tls}`
  const lines: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${at.controller}`,
    listeners: `${client},CONTROLLER://127.0.0.1:${at.controller}`,
    'advertised.listeners': client,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAIN',
    'listener.security.protocol.map': 'PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT',
    'log.dirs': join(folder, 'data'),
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.replication.factor': '1',
    'auto.create.topics.enable': 'true',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.certificate.chain': pem('cert.pem'),
    'ssl.keystore.key': pem('key.pem'),
  }
  for (const listener of ['sasl', 'secure']) {
    lines[`listener.name.${listener}.plain.sasl.jaas.config`] = jaas(
      plainModule,
      ` user_${user.username}="${user.password}"`,
    )
    for (const bits of [256, 512])
      lines[`listener.name.${listener}.scram-sha-${bits}.sasl.jaas.config`] = jaas(scramModule)
  }
  return Object.entries(lines)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

async function attempt(settings: Record<string, unknown>): Promise<unknown> {
  const context = makeContext()
  const sink = kafka.sink?.create(kafka.connection.parse(settings), context)
  if (sink === undefined) throw new Error('kafka has a sink')
  try {
    await sink.open(never)
    const [outcome] = await sink.send([outbound({ topic: 'absent' })], never)
    return outcome
  } catch (error) {
    return error
  } finally {
    await sink.close()
  }
}

const mechanisms = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
/** Credentials and certificate are accepted: this broker creates the topic it is asked for, in its time. */
async function isLetIn(settings: Record<string, unknown>): Promise<void> {
  const delivers = async () => {
    expect(await attempt(settings)).toMatchObject({ kind: 'delivered' })
    return true
  }
  await eventually(delivers, { what: 'let in' })
}

describe('Kafka credentials and TLS', () => {
  it.each(mechanisms)('are accepted with %s', async (mechanism) => {
    const settings = { brokers: [`127.0.0.1:${ports.sasl}`], sasl: { mechanism, ...user } }
    await isLetIn(settings)
  })

  it.each(mechanisms)('are refused as an outage when wrong, with %s', async (mechanism) => {
    const sasl = { mechanism, ...user, password: 'wrong' }
    const failure = await attempt({ brokers: [`127.0.0.1:${ports.sasl}`], sasl })
    expect(failure).toMatchObject({ code: 'CREDENTIALS_REFUSED', isOutage: true })
    expect(String(failure)).not.toContain('wrong')
  })

  it('are accepted over TLS with the authority given', async () => {
    const sasl = { mechanism: 'scram-sha-512', ...user }
    await isLetIn({ brokers: [`localhost:${ports.tls}`], sasl, tls: { ca } })
  })

  it('fail as an outage when the certificate is not trusted', async () => {
    const sasl = { mechanism: 'scram-sha-512', ...user }
    const failure = await attempt({ brokers: [`localhost:${ports.tls}`], sasl, tls: {} })
    expect(failure).toMatchObject({ isOutage: true, message: expect.stringMatching(/certificate/) })
  })

  it('names a certificate file that is not there', async () => {
    const failure = await attempt({ brokers: [`localhost:${ports.tls}`], tls: { ca: join(folder, 'none.pem') } })
    expect(failure).toMatchObject({ code: 'FILE_MISSING', message: expect.stringContaining('none.pem') })
  })
})
