/** What `npm start` runs, and the two commands its log tells to try. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { eventually } from '../support/poll.ts'
import { freePorts } from '../support/ports.ts'
import { registerCleanups } from '../unit/cli/cleanups.ts'
import { RunningProcess, root, startTrivium, trivium } from '../unit/cli/command.ts'
import { folderWith } from '../unit/cli/files.ts'

const afterwards = registerCleanups()
/** trivium.yaml on ports of its own: the usual ones may be taken on the machine that tests. */
async function started() {
  const [mqttPort, adminPort] = (await freePorts(2)) as [number, number]
  const folder = folderWith({
    'trivium.yaml': readFileSync(join(root, 'trivium.yaml'), 'utf8').replaceAll('1883', String(mqttPort)),
  })
  const options = { cwd: folder.path, env: { TRIVIUM_ADMIN_LISTEN: `127.0.0.1:${adminPort}` } }
  const gateway = startTrivium(['run'], options)
  afterwards(folder.remove)
  afterwards(() => gateway.stop())
  await gateway.wrote(/devices is connected as source/)
  return { gateway, options, mqttPort }
}

test('the log tells in two lines what to try, and it works', async () => {
  const { gateway, options, mqttPort } = await started()
  const [, watch = ''] = await gateway.wrote(/npx mqtt (sub [^"]+ -v)/)
  const [, publish = ''] = await gateway.wrote(/npx trivium (publish .*?\})'"/)

  const mqttCommand = join(root, 'node_modules/mqtt/build/bin/mqtt.js')
  const words = watch.replaceAll("'", '').split(' ')
  const subscriber = new RunningProcess(process.execPath, [mqttCommand, ...words, '-p', String(mqttPort)])
  afterwards(() => subscriber.stop())
  const [command = '', connection = '', topic = '', body = ''] = publish.replaceAll(/['\\]/g, '').split(' ')
  // a subscriber says nothing when it is subscribed: published again until it has seen one
  let isOver = false
  const alert = subscriber.wrote(/alerts\/berlin (.*)\n/).finally(() => {
    isOver = true
  })
  const first = await trivium([command, connection, topic, body], options)
  expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining('1 message confirmed by devices/') })
  while (!isOver) await trivium([command, connection, topic, body], options)
  const seen = await alert
  expect(JSON.parse(seen[1] ?? '')).toEqual({ temperature: 31.5, device: '7', fahrenheit: 88.7 })
  expect(subscriber.output).not.toContain('critical')
})

test('on a terminal the log is for people, and ends with a block that says what to try', async () => {
  const [mqttPort, adminPort] = (await freePorts(2)) as [number, number]
  const quickstart = readFileSync(join(root, 'trivium.yaml'), 'utf8').replaceAll('1883', String(mqttPort))
  const folder = folderWith({ 'trivium.yaml': quickstart })
  afterwards(folder.remove)
  const command = `${process.execPath} ${join(root, 'bin/trivium.js')} run`
  const env = { TRIVIUM_ADMIN_LISTEN: `127.0.0.1:${adminPort}`, TRIVIUM_LOG_FORMAT: 'auto' }
  const terminal = new RunningProcess('script', ['-qefc', command, '/dev/null'], { cwd: folder.path, env })
  afterwards(() => terminal.stop())
  await terminal.wrote(
    /connected as source[\s\S]*\r\n\r\n {2}watch: [^\n]+\r\n {2}publish: [^\n]+\r\n {2}stop: +Ctrl-C\r\n\r\n$/,
  )
  expect(terminal.output).not.toContain('"message"')
})

test('only what the condition lets pass becomes an alert, and the second target has one of its own', async () => {
  const { options, mqttPort } = await started()
  const { connectAsync } = await import('mqtt')
  const client = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { protocolVersion: 4, reconnectPeriod: 0 })
  afterwards(() => client.endAsync(true))
  const got: [string, string][] = []
  client.on('message', (name, payload) => got.push([name, payload.toString()]))
  await client.subscribeAsync(['alerts/#', 'latest/#'], { qos: 1 })
  for (const temperature of [12, 95]) {
    await trivium(['publish', 'devices', 'sensors/oslo/3/telemetry', `{"temperature":${temperature}}`], options)
  }
  await eventually(() => got.length >= 4, { what: 'four messages' })
  expect(got.sort()).toEqual([
    ['alerts/oslo', '{"temperature":95,"device":"3","fahrenheit":203}'],
    ['alerts/oslo/critical', '{"temperature":95,"device":"3","fahrenheit":203}'],
    ['latest/oslo/3', '{"temperature":12}'],
    ['latest/oslo/3', '{"temperature":95}'],
  ])
})

test('it ends with 0 on SIGTERM', async () => {
  const { gateway } = await started()
  expect(await gateway.stop()).toMatchObject({ code: 0 })
})
