/** bin/trivium.js under a Node that is too old to run the sources. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { freePort } from '../../support/ports.ts'
import { registerCleanups } from './cleanups.ts'
import { launcher, RunningProcess } from './command.ts'
import { folderWith } from './files.ts'

const neededMajor = 24
const afterwards = registerCleanups()

/** The first Node of PATH that is older than the sources need. */
function findOldNode(): string | undefined {
  const found = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'node'))
  return found.filter(existsSync).find((node) => majorOf(node) < neededMajor)
}

function majorOf(node: string): number {
  return Number(/^v(\d+)/.exec(execFileSync(node, ['--version'], { encoding: 'utf8' }))?.[1])
}

/** The configuration of a gateway with an embedded broker on a free port. */
async function echoFolder() {
  const folder = folderWith({
    'trivium.yaml': `
connections: { devices: { protocol: mqtt, listen: "mqtt://127.0.0.1:${await freePort()}" } }
routes: [{ name: echo, from: { connection: devices, topic: in }, to: [{ connection: devices, topic: out }] }]
`,
  })
  afterwards(folder.remove)
  return folder
}

const oldNode = findOldNode()
if (oldNode === undefined) process.stdout.write(`launcher: skipped, every Node on PATH is ${neededMajor} or newer\n`)
const describeOld = oldNode === undefined ? describe.skip : describe

describeOld('under an older Node', () => {
  const start = (args: readonly string[], cwd?: string) =>
    new RunningProcess(oldNode as string, [launcher, ...args], {
      ...(cwd === undefined ? {} : { cwd }),
      env: { TRIVIUM_ADMIN_LISTEN: 'off' },
    })

  test('it runs again under the Node that is installed with it', async () => {
    const { code, stdout } = await start(['version', '--json']).ended
    expect(code).toBe(0)
    expect(Number(JSON.parse(stdout).node.split('.')[0])).toBeGreaterThanOrEqual(neededMajor)
  })

  test('its exit code is passed on', async () => {
    expect(await start(['validate', '/no/such.yaml']).ended).toMatchObject({ code: 66 })
  })

  test('a signal to the launcher alone ends the gateway in order', async () => {
    const folder = await echoFolder()
    const gateway = start(['run'], folder.path)
    afterwards(() => gateway.stop('SIGKILL'))
    await gateway.wrote(/devices is connected as source/)
    gateway.child.kill('SIGTERM')
    expect(await gateway.ended).toMatchObject({ code: 0, stderr: expect.stringContaining('SIGTERM: stopping') })
  })

  test('a signal to all of its group, as of a terminal, is one signal to the gateway', async () => {
    const folder = await echoFolder()
    const gateway = start(['run'], folder.path)
    await gateway.wrote(/devices is connected as source/)
    expect(await gateway.stop('SIGINT')).toMatchObject({ code: 0, stderr: expect.stringContaining('SIGINT: stopping') })
  })

  test('killed, it takes the gateway along', async () => {
    const folder = await echoFolder()
    const first = start(['run'], folder.path)
    await first.wrote(/devices is connected as source/)
    first.child.kill('SIGKILL')
    await first.ended // the end of its output too, which the gateway holds open
    const second = start(['run'], folder.path)
    afterwards(() => second.stop('SIGKILL'))
    await second.wrote(/devices is connected as source/)
  })
})

test('under this Node it runs at once, in one process', async () => {
  const { code, stdout } = await new RunningProcess(process.execPath, [launcher, 'version', '--json']).ended
  expect({ code, node: JSON.parse(stdout).node }).toEqual({ code: 0, node: process.versions.node })
})
