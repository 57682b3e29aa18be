import { beforeAll, describe, expect, test } from '@jest/globals'
import { connectAsync } from 'mqtt'
import { eventually } from '../../support/poll.ts'
import { freePort } from '../../support/ports.ts'
import { registerCleanups } from './cleanups.ts'
import { type ProcessOptions, startTrivium, trivium } from './command.ts'
import { folderWith } from './files.ts'

const afterwards = registerCleanups()
let port: number
beforeAll(async () => {
  port = await freePort()
})

/** A gateway with an embedded broker and a subscriber there. `publish` sends in format envelope and gives what arrived. */
async function started() {
  const folder = folderWith({
    'trivium.yaml': `
connections:
  devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${port}" }
  inside: { protocol: memory }
routes:
  - name: unused
    from: { connection: devices, topic: "in/#" }
    to: [{ connection: inside, topic: nowhere }]
`,
    'body.json': '{"from":"a file"}',
  })
  afterwards(folder.remove)
  const gateway = startTrivium(['run'], { cwd: folder.path, env: { TRIVIUM_ADMIN_LISTEN: 'off' } })
  afterwards(() => gateway.stop('SIGKILL'))
  await gateway.wrote(/devices is connected as source/)
  const subscriber = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4, reconnectPeriod: 0 })
  afterwards(() => subscriber.endAsync(true))
  const got: string[] = []
  subscriber.on('message', (_topic, payload) => got.push(payload.toString()))
  await subscriber.subscribeAsync('out/#', { qos: 1 })
  const publish = async (args: readonly string[], options: ProcessOptions = {}) => {
    const ended = await trivium(['publish', 'devices', 'out/1', ...args], { cwd: folder.path, ...options })
    if (ended.code === 0) await eventually(() => got.length > 0, { what: 'a message' })
    return { ...ended, got: got.splice(0) }
  }
  return { folder, publish }
}

test('every option stands in the message', async () => {
  const { publish } = await started()
  const { code, stdout, stderr, got } = await publish([
    '{"t":1.50}',
    ...['--format', 'envelope', '--type', 'Reading', '--content-type', 'application/json'],
    ...['--key', '7', '-H', 'site=berlin', '-H', 'note=a=b'],
  ])
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
  expect(stderr).toContain('1 message confirmed by devices/out/1')
  expect(got).toHaveLength(1)
  expect(got[0]).toContain('"payload":{"t":1.50}')
  expect(JSON.parse(got[0] ?? '')).toMatchObject({
    messageId: expect.any(String),
    eventType: 'Reading',
    key: '7',
    headers: { contentType: 'application/json', site: 'berlin', note: 'a=b' },
  })
})

test('the body comes from the argument, a file, or standard input', async () => {
  const { publish } = await started()
  expect((await publish(['plain'])).got).toEqual(['plain'])
  expect((await publish(['@body.json'])).got).toEqual(['{"from":"a file"}'])
  expect((await publish(['-'], { input: 'from a pipe' })).got).toEqual(['from a pipe'])
  expect((await publish([], { input: 'from a pipe' })).got).toEqual(['from a pipe'])
})

test('--count sends it so often', async () => {
  const { publish } = await started()
  expect(await publish(['x', '--count', '3'])).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('3 messages'),
  })
})

test('a topic of the embedded broker that no route reads is noted, one that a route reads is not', async () => {
  const { folder, publish } = await started()
  expect((await publish(['x'])).stderr).toContain('note: no route reads out/1')
  const read = await trivium(['publish', 'devices', 'in/1', 'x'], { cwd: folder.path })
  expect(read).toMatchObject({ code: 0, stderr: expect.not.stringContaining('note:') })
})

describe('64 before anything is sent', () => {
  test.each([
    [['-H', 'nothing'], '--header nothing: expected name=value'],
    [['-H', '=value'], '--header =value: expected name=value'],
    [['--format', 'xml'], '--format xml: must be one of binary, envelope, cloudevents, raw'],
    [['--count', '0'], '--count 0'],
    [['--count', 'many'], '--count many'],
  ])('%j', async (options, message) => {
    const { code, stderr } = await trivium(['publish', 'devices', 'out/1', 'x', ...options])
    expect(code).toBe(64)
    expect(stderr).toContain(message)
  })

  test('a connection that is not there: those that are, are named', async () => {
    const { code, stderr } = await trivium(['publish', 'nobody', 'out/1', 'x'])
    expect(code).toBe(64)
    expect(stderr).toContain('no connection named nobody; configured: devices')
  })
})

test('1 for a message that is refused: here its topic is not legal', async () => {
  const { publish } = await started()
  expect(await publish(['x', '--config', 'trivium.yaml'])).toMatchObject({ code: 0 })
  const folder = folderWith({
    'trivium.yaml': `connections: { devices: { protocol: mqtt, url: "mqtt://127.0.0.1:${port}" } }\nroutes: []\n`,
  })
  afterwards(folder.remove)
  const refused = await trivium(['publish', 'devices', 'out/+', 'x'], { cwd: folder.path })
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(/out\/\+: [A-Z_]+: /)
})

test('66 for a body file that is not there', async () => {
  const { code, stderr } = await trivium(['publish', 'devices', 'out/1', '@no-such-file'])
  expect({ code, hasStack: /^\s+at /m.test(stderr) }).toEqual({ code: 66, hasStack: false })
})
