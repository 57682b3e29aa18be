/** From brokers to HTTP servers that fail, rest, go away and come back: nothing is lost, and each key stays in order. */
import { expect } from '@jest/globals'
import { serve, type TestServer } from '../support/contexts/http-server.ts'
import { checkNothingLost, type Scope, scenario, setKey, texts } from '../support/gateway/scenario.ts'
import { unique } from '../support/names.ts'
import { type Place, placeAt } from '../support/places/places.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'
import { randomOf } from '../support/random.ts'

interface Taken {
  readonly text: string
}

const road = (source: Place, url: string, more = '') => `
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections:
  source: ${source.connection}
  web: { protocol: http, maxConcurrent: 16 }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    ${setKey}
    to: [{ connection: web, url: "${url}/in/{payload.key}", timeout: 2s ${more} }]
    retry: { attempts: 50, delay: 10ms, maxDelay: 100ms }
`

/** Takes a message with 204, and now and then fails in one of many ways instead: some of them after it has taken it. */
async function moody(scope: Scope, port?: number): Promise<TestServer & { readonly taken: Taken[] }> {
  const taken: Taken[] = []
  const random = randomOf(7)
  const moods = [
    ...[500, 502, 503, 429, 408, 425].map((status) => (response: Response) => void response.writeHead(status).end()),
    (response: Response) => void response.writeHead(429, { 'retry-after': '0' }).end(),
    (response: Response) => void response.socket?.resetAndDestroy(),
    (response: Response) => void response.socket?.end(),
  ]
  const served = await scope.use(
    serve(({ body }, response) => {
      const mood = moods[Math.floor(random.between(0, moods.length * 5))]
      if (mood !== undefined && random.between(0, 1) < 0.5) return mood(response)
      taken.push({ text: body })
      if (mood === undefined) response.writeHead(204).end()
      else mood(response)
    }, port),
  )
  return { ...served, taken }
}
type Response = Parameters<NonNullable<Parameters<typeof serve>[0]>>[1]

for (const from of ['amqp', 'kafka'] as const) {
  scenario(`${from} to a server of moods: all arrives, of each key in order`, async (scope) => {
    const server = await moody(scope)
    const source = await placeAt(from)
    const gateway = await scope.gateway(road(source, server.url)).ready()
    const sender = await scope.use(source.sender())
    const sent = texts(400)
    await sender.send(sent)
    await eventually(() => gateway.route('road').delivered === sent.length, { withinMs: 90_000, what: 'all delivered' })
    checkNothingLost(server.taken, sent)
    expect(gateway.route('road').deadLetteredTotal).toBe(0)
  })

  scenario(
    `${from} is answered while the server is away; after a stop and a start all arrives in order`,
    async (scope) => {
      const port = await freePort()
      const source = await placeAt(from)
      const yaml = `${road(source, `http://127.0.0.1:${port}`)}    acknowledge: stored\n`
      const first = await scope.gateway(yaml).ready()
      const sender = await scope.use(source.sender())
      const early = texts(300)
      await sender.send(early)
      await eventually(() => first.route('road').waiting === early.length, { withinMs: 60_000, what: 'all stored' })
      await eventually(() => first.route('road').targets[0]!.blocked.size > 0, { what: 'the target shown as blocked' })
      await first.pause()

      const second = await scope.gateway(yaml, first.dataDir).ready()
      expect(second.route('road')).toMatchObject({ restored: early.length })
      const server = await moody(scope, port)
      const later = texts(100)
      await sender.send(later)
      const sent = [...early, ...later]
      await eventually(() => second.route('road').delivered === sent.length, {
        withinMs: 90_000,
        what: 'all delivered',
      })
      checkNothingLost(server.taken, sent)
      expect(second.route('road').deadLetteredTotal).toBe(0)
    },
  )
}

scenario('a server that is away, and one that never answers, hold up nothing that goes to another', async (scope) => {
  const [there, silent] = [await scope.use(serve()), await scope.use(serve(() => {}))]
  const source = await placeAt('amqp')
  const away = `http://127.0.0.1:${await freePort()}`
  const target = (url: string) =>
    `{ connection: web, url: "${url}/{payload.key}", timeout: ${url === silent.url ? '500ms' : '20s'} }`
  const gateway = await scope
    .gateway(
      `
gateway: { id: ${unique('t')}, drain: 1s, admin: false }
connections:
  source: ${source.connection}
  web: { protocol: http, maxConcurrent: 4 }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    acknowledge: stored
    ${setKey}
    to: [${[away, silent.url, there.url].map(target).join(', ')}]
`,
    )
    .ready()
  const sender = await scope.use(source.sender())
  const sent = texts(200)
  await sender.send(sent)
  const targets = gateway.route('road').targets
  const isDone = () => targets[2]!.delivered === sent.length
  await eventually(isDone, { withinMs: 60_000, what: 'all at the one that is there' })
  checkNothingLost(
    there.got.map(({ body }) => ({ text: body })),
    sent,
  )
  expect(targets.map(({ delivered }) => delivered)).toEqual([0, 0, sent.length])
})
