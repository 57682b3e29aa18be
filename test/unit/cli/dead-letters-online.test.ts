import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { connectAsync } from 'mqtt'
import type { DeadLetter } from '../../../src/store/dead-letters.ts'
import { envelopeOf, fill, letterOf, storeAt } from '../../support/gateway/dead-letters.ts'
import { eventually } from '../../support/poll.ts'
import { freePort } from '../../support/ports.ts'
import { registerCleanups } from './cleanups.ts'
import { launcher, type ProcessOptions, startTrivium, trivium } from './command.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()
const token = 't0ken'

/** A running gateway whose store had these letters when it started, and a subscriber of what its routes send. */
async function gatewayWith(letters: readonly DeadLetter[], env: Record<string, string> = {}) {
  const [broker, admin] = [await freePort(), await freePort()]
  const folder = folderWith({
    'trivium.yaml': `
gateway: { id: plant, dataDir: ./data, admin: { listen: "127.0.0.1:${admin}", token: "\${env:SITE_TOKEN}" } }
connections: { devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${broker}" } }
routes:
  - name: orders
    from: { connection: devices, topic: "orders/{site}" }
    to: [{ connection: devices, topic: "accepted/{params.site}" }]
`,
  })
  afterwards(folder.remove)
  const store = storeAt(join(folder.path, 'data'))
  store.outbox.route('orders', ['devices/accepted/{params.site}'])
  await fill(store, letters)
  store.close()
  const start = async (more: Record<string, string> = {}) => {
    const env = { TRIVIUM_LOG_FORMAT: 'json', SITE_TOKEN: token, ...more }
    const gateway = startTrivium(['run'], { cwd: folder.path, env })
    afterwards(() => gateway.stop('SIGKILL'))
    await gateway.wrote(/devices is connected as source/)
    return gateway
  }
  const gateway = await start(env)
  const url = `http://127.0.0.1:${admin}`
  const command = (args: readonly string[], options: ProcessOptions = {}) =>
    trivium(['dead-letters', ...args], { cwd: folder.path, env: { SITE_TOKEN: token }, ...options })
  return { gateway, broker, url, path: folder.path, start, command }
}

async function subscribed(port: number): Promise<string[]> {
  const got: string[] = []
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4, reconnectPeriod: 0 })
  afterwards(() => client.endAsync(true))
  client.on('message', (topic, payload) => got.push(`${topic} ${payload}`))
  await client.subscribeAsync('accepted/#', { qos: 1 })
  return got
}

const withPayload = (text: string, changes: Partial<DeadLetter> = {}) =>
  letterOf({ envelope: envelopeOf({ payload: Buffer.from(text) }), ...changes })

test('looked at, mended and sent again while the gateway runs; every action has its line in the log of the gateway', async () => {
  const { gateway, broker, command } = await gatewayWith([
    withPayload('one'),
    withPayload('two'),
    withPayload('three', { reason: 'expired' }),
  ])
  const got = await subscribed(broker)
  expect((await command(['list'])).stdout.trim().split('\n')).toHaveLength(4)
  expect((await command(['show', '2'])).stdout).toContain('two')
  expect(await command(['edit', '2', '--payload', 'mended'])).toMatchObject({ code: 0 })
  const { code, stdout, stderr } = await command(['requeue', '--reason', 'max-attempts'])
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'requeued 2 dead letters (gateway plant)\n', stderr: '' })
  await eventually(() => got.length === 2, { withinMs: 30_000, what: 'both messages' })
  expect(got).toEqual(['accepted/berlin one', 'accepted/berlin mended'])
  expect((await command(['export'])).stdout).toContain('"payloadText":"three"')
  expect(await command(['discard', '--all'])).toMatchObject({
    code: 0,
    stdout: 'discarded 1 dead letter (gateway plant)\n',
  })
  expect(await command(['list'])).toMatchObject({ code: 1 })
  const audits = gateway.stderr.split('\n').filter((line) => line.includes('"audit"'))
  expect(audits.map((line) => JSON.parse(line)).map(({ audit, origin, ids }) => [audit, origin, ids])).toEqual([
    ['dead-letters.edit', 'api 127.0.0.1', '2'],
    ['dead-letters.requeue', 'api 127.0.0.1', '1-2'],
    ['dead-letters.export', 'api 127.0.0.1', '3'],
    ['dead-letters.discard', 'api 127.0.0.1', '3'],
  ])
})

test('what is wrong is told as without a gateway, and without the token nothing is', async () => {
  const { command, url } = await gatewayWith([withPayload('one', { requeues: 3 })])
  const skipped = await command(['requeue', '--all'])
  expect(skipped).toMatchObject({ code: 1, stdout: 'requeued 0 dead letters (gateway plant), skipped 1\n' })
  expect(await command(['show', '7'])).toMatchObject({ code: 1 })
  const badWhere = await command(['list', '--where', 'payload.x ='])
  expect(badWhere).toMatchObject({ code: 64, stderr: expect.stringContaining("--where 'payload.x =': ") })
  const foreign = await command(['list', '--url', url])
  expect(foreign).toMatchObject({ code: 69, stdout: '', stderr: expect.stringContaining('TRIVIUM_ADMIN_TOKEN') })
  expect(await command(['list', '--url', url], { env: { TRIVIUM_ADMIN_TOKEN: token } })).toMatchObject({ code: 0 })
})

test('a gateway of another configuration at the same address is left alone, unless it is named with --url', async () => {
  const { command, url, path } = await gatewayWith([withPayload('one'), withPayload('two')])
  const yaml = readFileSync(join(path, 'trivium.yaml'), 'utf8')
  writeFileSync(join(path, 'renamed.yaml'), yaml.replace('id: plant', 'id: other'))
  writeFileSync(join(path, 'moved.yaml'), yaml.replace('./data', './elsewhere'))
  for (const file of ['renamed.yaml', 'moved.yaml']) {
    for (const args of [['discard', '--all'], ['discard', '--all', '--dry-run'], ['list'], ['show', '1']]) {
      const { code, stdout, stderr } = await command([...args, '-c', file])
      expect({ code, stdout }).toEqual({ code: 69, stdout: '' })
      expect(stderr).toContain(
        `${url} belongs to gateway plant with data in ${realpathSync(path)}/data, but ${file} describes `,
      )
      expect(stderr).toContain(`--url ${url}`)
    }
    const health = await trivium(['health', '-c', file], { cwd: path, env: { SITE_TOKEN: token } })
    expect(health).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('belongs to gateway plant') })
  }
  const other = await trivium(['health'], { cwd: path, env: { SITE_TOKEN: 'another' } })
  expect(other).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('rejected the token from gateway.admin.token of'),
  })
  expect(await trivium(['health'], { cwd: path, env: { SITE_TOKEN: token } })).toMatchObject({
    code: 0,
    stdout: 'ready\n',
  })
  expect(await command(['list'])).toMatchObject({ code: 0, stderr: '2 of 2 dead letters (gateway plant)\n' })
  const named = ['discard', '--all', '-c', 'moved.yaml', '--url', url]
  const env = { TRIVIUM_ADMIN_TOKEN: token }
  expect(await command(named, { env })).toMatchObject({ code: 0, stdout: 'discarded 2 dead letters (gateway plant)\n' })
})

test('a misspelt route is told as without a gateway', async () => {
  const { command } = await gatewayWith([withPayload('one')])
  const { code, stderr } = await command(['requeue', '--route', 'order'])
  expect({ code, stderr }).toEqual({ code: 1, stderr: "gateway plant has no route order; did you mean 'orders'?\n" })
})

test('a command that is killed in the middle is simply given again: each message once', async () => {
  const count = 3_000
  const { gateway, broker, command, path, start } = await gatewayWith(
    Array.from({ length: count }, (_, n) => withPayload(String(n))),
  )
  const got = await subscribed(broker)
  const child = spawn(process.execPath, [launcher, 'dead-letters', 'requeue', '--all'], {
    ...{ cwd: path, env: { ...process.env, SITE_TOKEN: token }, stdio: 'ignore' },
  })
  const exited = once(child, 'exit')
  await gateway.wrote(/"audit":"dead-letters.requeue"/)
  child.kill('SIGKILL')
  await exited
  const again = await command(['requeue', '--all'])
  expect([0, 1]).toContain(again.code) // 1: the first was quick enough to send all
  await eventually(() => got.length >= count, { withinMs: 60_000, what: `${count} messages, not ${got.length}` })
  expect(await command(['list'])).toMatchObject({ code: 1 })
  expect(new Set(got).size).toBe(count)
  expect(got).toHaveLength(count)
  await gateway.stop('SIGTERM')
  await start()
  expect(await command(['list'])).toMatchObject({ code: 1 })
})

test('a gateway that dies before it can tell what it did: the rest is sent by the same command, even without it', async () => {
  const letters = Array.from({ length: 1_200 }, (_, n) => withPayload(String(n)))
  const { gateway, command } = await gatewayWith(letters, { TRIVIUM_FAILPOINT: 'requeue.after-commit:2' })
  const broken = await command(['requeue', '--all', '--delay', '1h'])
  expect(broken).toMatchObject({ code: 69, stdout: '', stderr: expect.stringContaining('does not answer') })
  expect(broken.stderr).toContain('requeued 500 before that; run the same command again to continue')
  expect((await gateway.ended).signal).toBe('SIGKILL')
  const rest = await command(['requeue', '--all', '--delay', '1h'])
  expect(rest).toMatchObject({ code: 0, stdout: 'requeued 200 dead letters (gateway plant)\n' })
})
