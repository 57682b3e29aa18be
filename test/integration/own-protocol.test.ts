/** docs/lines.js, the protocol that docs/adding-a-protocol.md walks through, as a user would run it. */
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from '@jest/globals'
import { eventually } from '../support/poll.ts'
import { freePorts } from '../support/ports.ts'
import { registerCleanups } from '../unit/cli/cleanups.ts'
import { root, startTrivium, trivium } from '../unit/cli/command.ts'
import { folderWith } from '../unit/cli/files.ts'

const afterwards = registerCleanups()
const page = readFileSync(join(root, 'docs/adding-a-protocol.md'), 'utf8')

/** The page's configuration on free ports, beside a copy of lines.js. */
async function folderOfPage() {
  const [inPort, outPort] = (await freePorts(2)) as [number, number]
  const [, yaml = ''] = /```yaml\n(.*?)```/s.exec(page) ?? []
  const text = yaml.replace('7001', String(inPort)).replace('7002', String(outPort))
  const folder = folderWith({ 'bridge.yaml': text })
  afterwards(folder.remove)
  copyFileSync(join(root, 'docs/lines.js'), join(folder.path, 'lines.js'))
  return { folder, inPort, outPort, options: { cwd: folder.path, env: { TRIVIUM_ADMIN_LISTEN: 'off' } } }
}

/** Takes lines at a port and answers each, once it may. */
async function receiver(port: number) {
  const got: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let number = 0
    createInterface(socket).on('line', (text) => {
      got.push(text)
      number += 1
      socket.write(`ok ${number}\n`)
    })
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  afterwards(close)
  return { got, close }
}

test('lines go through the gateway and are answered; what came while the target was away arrives when it is back', async () => {
  const { inPort, outPort, options } = await folderOfPage()
  expect(await trivium(['validate', 'bridge.yaml'], options)).toMatchObject({ code: 0 })
  const first = await receiver(outPort)
  const gateway = startTrivium(['run', 'bridge.yaml'], options)
  afterwards(() => gateway.stop())
  await gateway.wrote(/in is connected as source/)
  const socket = connect(inPort, '127.0.0.1')
  afterwards(() => socket.destroy())
  const answers: string[] = []
  createInterface(socket).on('line', (text) => answers.push(text))
  socket.write('one\ntwo\n')
  await eventually(() => first.got.length === 2 && answers.length === 2, { what: 'two lines and their answers' })
  expect([first.got, answers]).toEqual([
    ['one', 'two'],
    ['ok 1', 'ok 2'],
  ])
  first.close()
  await gateway.wrote(/out is (away|down|lost|no longer)|the connection is lost/)
  socket.write('three\n')
  await eventually(() => answers.length === 3, { what: 'the answer of what is on disk' })
  const second = await receiver(outPort)
  await eventually(() => second.got.length > 0, { withinMs: 40_000, what: 'the line that waited' })
  expect(second.got).toEqual(['three'])
  expect(await trivium(['publish', 'in', '', 'four', '-c', 'bridge.yaml'], options)).toMatchObject({ code: 0 })
  await eventually(() => second.got.length === 2, { what: 'the published line' })
})

test('a module that is not there ends with 78, the place and what to do', async () => {
  const { folder, options } = await folderOfPage()
  const wrong = folderWith({ 'bridge.yaml': readFileSync(join(folder.path, 'bridge.yaml'), 'utf8') })
  afterwards(wrong.remove)
  const { code, stdout } = await trivium(['validate', 'bridge.yaml'], { ...options, cwd: wrong.path })
  expect(code).toBe(78)
  expect(stdout).toMatch(/TRV1010.*lines\.js[\s\S]*bridge\.yaml:2:15[\s\S]*docs\/adding-a-protocol\.md/)
})

test('a module that cannot be loaded is told with what is wrong in it', async () => {
  const folder = folderWith({
    'syntax.mjs': 'export const own = {\n  name: }\n',
    'await.mjs': 'await 1\nexport const own = 1\n',
    'throws.mjs': 'throw new Error("no licence")\n',
    'bridge.yaml': `gateway: { protocols: [./syntax.mjs, ./await.mjs, ./throws.mjs, ./folder] }
connections: { a: { protocol: own } }
routes: []
`,
  })
  afterwards(folder.remove)
  mkdirSync(join(folder.path, 'folder'))
  const { code, stdout } = await trivium(['validate', 'bridge.yaml'], { cwd: folder.path })
  expect(code).toBe(78)
  expect(stdout).toMatch(/syntax\.mjs`: syntax error: .*; `node --check \.\/syntax\.mjs` shows where/)
  expect(stdout).toMatch(/await\.mjs`: it uses top-level `await`/)
  expect(stdout).toMatch(/throws\.mjs`: no licence/)
  expect(stdout).toMatch(/folder`: it is a directory/)
  expect(stdout).not.toContain('TRV2006')
})

test('a sink that throws is told as a bug of its protocol, with its stack once; nothing is lost', async () => {
  const { folder, inPort, outPort, options } = await folderOfPage()
  const module = join(folder.path, 'lines.js')
  writeFileSync(module, readFileSync(module, 'utf8').replace('send = (batch) =>', 'send = (batch) => undefined.x ??'))
  await receiver(outPort)
  const gateway = startTrivium(['run', 'bridge.yaml'], options)
  afterwards(() => gateway.stop())
  await gateway.wrote(/in is connected as source/)
  const socket = connect(inPort, '127.0.0.1')
  afterwards(() => socket.destroy())
  socket.write('one\n')
  const line = /not available as sink: bug in its protocol, send\(\) threw: Cannot read properties of undefined/
  await gateway.wrote(line)
  await gateway.wrote(/lines\.js:\d+/)
  const published = await trivium(['publish', 'out', '', 'x', '-c', 'bridge.yaml'], options)
  expect(published).toMatchObject({ code: 70, stderr: expect.stringContaining('bug in its protocol') })
})
