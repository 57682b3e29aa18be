/** A message that kills the process whenever it is handed out: a real death, and then the gateway goes on. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from '@jest/globals'
import type { GatewayProcess } from '../support/fault/gateway-process.ts'
import { arrived, checkNothingLost, type Scope, scenario, texts } from '../support/gateway/scenario.ts'
import { inletOf, patientMs, program, road } from '../support/gateway/stored.ts'
import { placeAt, wireTo } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

const marker = 'this-one-kills'

/** Loaded into the program: it dies as soon as it writes the marker to a socket. */
const poison = `
import { Socket } from 'node:net'
const { write } = Socket.prototype
Socket.prototype.write = function (chunk, ...others) {
  if (Buffer.from(chunk).includes(${JSON.stringify(marker)})) process.kill(process.pid, 'SIGKILL')
  return write.call(this, chunk, ...others)
}
`

function poisoned(scope: Scope): Readonly<Record<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), 'trivium-poison-'))
  scope.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'poison.mjs')
  writeFileSync(file, poison)
  return { NODE_OPTIONS: `--import=${pathToFileURL(file)}` }
}

const killer = (): string => {
  const [text] = texts(1) as [string]
  return JSON.stringify({ ...(JSON.parse(text) as object), marker })
}

interface Views {
  readonly routes: readonly { readonly waiting: number; readonly deadLetterReasons: Record<string, number> }[]
}
async function routeOf(gateway: GatewayProcess): Promise<Views['routes'][number]> {
  return ((await gateway.get('/api/v1/routes')) as Views).routes[0]!
}

/** Starts it again and again until it stays; how often it died. */
async function deathsUntilItStays(gateway: GatewayProcess, env: Readonly<Record<string, string>>): Promise<number> {
  for (let deaths = 0; deaths < 20; deaths += 1) {
    gateway.launch({ env })
    const stays = async () => (await routeOf(gateway)).deadLetterReasons.poison === 1
    const outcome = await Promise.race([
      gateway.ended.then(() => 'died' as const),
      eventually(stays, { withinMs: patientMs, what: 'the dead letter' }).then(
        () => 'stays' as const,
        (error: unknown) => error as Error,
      ),
    ])
    if (outcome instanceof Error) throw outcome
    if (outcome === 'stays') return deaths
  }
  throw new Error('it dies for ever')
}

scenario(
  'a message that kills the process is set aside after three starts alone; innocent ones arrive',
  async (scope) => {
    const port = await freePort()
    const [source, target] = [await inletOf(scope, 'amqp'), await placeAt('kafka', { port })]
    const gateway = await program(scope, road(source, target))
    const env = poisoned(scope)
    await gateway.start({ env })
    const [before, bad, after] = [texts(150), killer(), texts(150)]
    await source.send([...before, bad, ...after])
    await eventually(async () => (await routeOf(gateway)).waiting === 301, { withinMs: patientMs, what: 'all stored' })
    await source.acknowledged(301)
    await gateway.kill() // so that what waits is looked at with care
    await scope.use(wireTo('kafka', port))
    // twice among others, three times alone; a death half a second after it was handed out does not count
    expect(await deathsUntilItStays(gateway, env)).toBeGreaterThanOrEqual(5)
    const reader = await scope.use(target.reader())
    await arrived(reader, [...before, ...after], patientMs)
    checkNothingLost(reader.got, [...before, ...after])
    await eventually(async () => (await routeOf(gateway)).waiting === 0, { withinMs: patientMs, what: 'nothing waits' })
    const { deadLetters } = (await gateway.get('/api/v1/dead-letters')) as { deadLetters: unknown[] }
    expect(deadLetters).toMatchObject([{ reason: 'poison', route: 'road' }])
    const later = texts(50)
    await source.send(later)
    await arrived(reader, later, patientMs)
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
  },
  240_000,
)

scenario(
  'of two targets one is away, the other dies of a message: it is set aside there all the same',
  async (scope) => {
    const [port, farPort] = [await freePort(), await freePort()]
    const source = await inletOf(scope, 'amqp')
    const [far, near] = [await placeAt('mqtt', { port: farPort }), await placeAt('amqp', { port })]
    const yaml = road(source, { connection: far.connection, to: `${far.to} }, { connection: near, ${near.to}` })
    const gateway = await program(scope, yaml.replace('connections: {', `connections: { near: ${near.connection},`))
    const env = poisoned(scope)
    await gateway.start({ env })
    const [bad, good] = [killer(), texts(20)]
    await source.send([bad, ...good])
    await eventually(async () => (await routeOf(gateway)).waiting === 21, { withinMs: patientMs, what: 'all stored' })
    await source.acknowledged(21)
    await gateway.kill()
    await scope.use(wireTo('amqp', port))
    const lettersOf = async () =>
      ((await gateway.get('/api/v1/dead-letters')) as { deadLetters: unknown[] }).deadLetters
    let deaths = 0
    for (;;) {
      gateway.launch({ env })
      const isThere = async () => (await lettersOf()).length === 1
      const done = eventually(isThere, { withinMs: patientMs, what: 'the dead letter' }).then(
        () => true,
        () => false,
      )
      if (await Promise.race([done, gateway.ended.then(() => false)])) break
      deaths += 1
      expect(deaths).toBeLessThan(20)
    }
    expect(deaths).toBeGreaterThanOrEqual(5)
    expect(await lettersOf()).toMatchObject([{ reason: 'poison' }])
    const reader = await scope.use(near.reader())
    await arrived(reader, good, patientMs)
    await gateway.kill()
  },
  240_000,
)
