/** Events out, over real sockets: what readers hear, who may follow, and what a slow one costs. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from '@jest/globals'
import { EventSource } from 'undici'
import { http } from '../../protocols/http/index.ts'
import type { Outbound, Sink } from '../../src/adapter/contract.ts'
import type { EnvelopeFields } from '../../src/envelope/envelope.ts'
import { type RecordingContext, testContext } from '../support/contexts/context.ts'
import { EventReader, get } from '../support/contexts/event-reader.ts'
import { FakeKept } from '../support/contexts/kept.ts'
import { codes, kinds, never, outboundTo } from '../support/contexts/messages.ts'
import { TestGateway } from '../support/gateway/gateway.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

interface Serving {
  readonly url: string
  readonly sink: Sink
  readonly context: RecordingContext
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Wish {
  readonly connection?: object
  readonly template?: string
  readonly kept?: FakeKept
  readonly port?: number
}

async function serving({ connection, template = '/live/{params.site}', kept, port }: Wish = {}): Promise<Serving> {
  const url = `http://127.0.0.1:${port ?? (await freePort())}`
  const targets = [{ settings: { events: template }, isStored: kept !== undefined }]
  const context = testContext('api', { targets, ...(kept && { kept }) })
  const sink = http.sink!.create(http.connection.parse({ listen: url, ...connection }), context) as Sink
  await sink.open(never)
  cleanups.push(() => sink.close())
  return { url, sink, context }
}

async function follow(url: string, headers?: Record<string, string>): Promise<EventReader> {
  const reader = await EventReader.follow(url, headers)
  cleanups.push(() => reader.close())
  return reader
}

type Fields = Partial<Omit<EnvelopeFields, 'payload'>> & { readonly payload?: string | Uint8Array | null }

const event = (fields: Fields, events = '/live/berlin'): Outbound => outboundTo({ events }, fields)
const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => event({ messageId: `m${from + at}`, payload: `${from + at}` }))
const send = ({ sink }: Serving, ...batch: readonly Outbound[]) => sink.send(batch, never)

describe('a reader', () => {
  it('hears each event of its path: id, type, data', async () => {
    const live = await serving()
    const reader = await follow(`${live.url}/live/berlin`)
    const sent = await send(
      live,
      event({ messageId: 'a1', eventType: 'temp', payload: '{"t":1}' }),
      event({ messageId: 'x' }, '/live/hamburg'),
      event({ messageId: 'a\n2 ', payload: 'one\r\ntwo\nthree' }),
      event({ messageId: 'Grüße', payload: null }),
    )
    expect(kinds(sent)).toEqual(['delivered', 'delivered', 'delivered', 'delivered'])
    await reader.hears(3)
    expect(reader.events).toEqual([
      { id: 'a1', event: 'temp', data: '{"t":1}' },
      { id: 'a%0A2%20', data: 'one\ntwo\nthree' },
      { id: 'Grüße', data: '' },
    ])
    expect(reader.response.headers).toMatchObject({ 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    expect(reader.retryMs).toBe(2_000)
  })

  it('gets CloudEvents by format, and bytes that are no text as an envelope', async () => {
    const live = await serving()
    const reader = await follow(`${live.url}/live/berlin`)
    const bytes = Buffer.from([0xff, 0x00])
    const [, , raw] = await send(
      live,
      { ...event({ messageId: 'c', payload: '{"t":1}', contentType: 'application/json' }), format: 'cloudevents' },
      event({ messageId: 'b', payload: bytes }),
      { ...event({ payload: bytes }), format: 'raw' },
    )
    await reader.hears(2)
    const [cloud, envelope] = reader.data.map((text) => JSON.parse(text))
    expect(cloud).toMatchObject({ specversion: '1.0', id: 'c', data: { t: 1 } })
    expect(envelope).toMatchObject({ messageId: 'b', payloadBase64: bytes.toString('base64') })
    expect(codes([raw!])).toEqual(['MESSAGE_MALFORMED'])
  })

  it('may be a browser: the EventSource of undici follows, and comes back by itself to what it missed', async () => {
    const port = await freePort()
    const kept = new FakeKept()
    const first = await serving({ port, kept })
    const source = new EventSource(`${first.url}/live/berlin`)
    cleanups.push(() => source.close())
    const heard: string[] = []
    source.addEventListener('message', ({ data, lastEventId }) => heard.push(`${lastEventId}=${data}`))
    await once(source, 'open')
    await send(first, ...numbered(1, 2))
    await eventually(() => heard.length === 2, { what: 'two events' })
    await first.sink.close()
    const second = await serving({ port, kept: kept.crash() })
    await send(second, ...numbered(3, 4))
    await eventually(() => heard.length === 4, { what: 'what it missed' })
    expect(heard).toEqual(['m1=1', 'm2=2', 'm3=3', 'm4=4'])
  })

  it('has a comment from time to time where nothing happens', async () => {
    const live = await serving({ connection: { events: { heartbeat: '1s' } } })
    const reader = await follow(`${live.url}/live/berlin`)
    await eventually(() => reader.comments > 0, { what: 'a heartbeat' })
    expect(reader.events).toEqual([])
  })

  it('ends with the listener', async () => {
    const live = await serving()
    const reader = await follow(`${live.url}/live/berlin`)
    await live.sink.close()
    await reader.ends()
    expect(codes(await send(live, event({})))).toEqual(['PEER_LOST'])
  })

  it.each(['%E4', '%2e%2e', '', 'a%ff'])('of /live/%s has no such path', async (level) => {
    const { url } = await serving()
    const { response, outgoing } = await get(`${url}/live/${level}`, { accept: 'text/event-stream' })
    expect(response.statusCode).toBe(404)
    outgoing.destroy()
  })
})

describe('who comes back with Last-Event-ID', () => {
  const back = (live: Serving, id: string, path = '/live/berlin') => follow(live.url + path, { 'last-event-id': id })

  it('gets what it missed of its path, then what comes', async () => {
    const live = await serving()
    await send(live, ...numbered(1, 4), event({ messageId: 'other' }, '/live/hamburg'))
    const reader = await back(live, 'm2')
    await send(live, ...numbered(5, 5))
    await reader.hears(3)
    expect(reader.ids).toEqual(['m3', 'm4', 'm5'])
  })

  it('is told of a gap where its event is not known any more, and gets what is there', async () => {
    const live = await serving({ connection: { events: { replay: { maxEvents: 2 } } } })
    await send(live, ...numbered(1, 5))
    const [forgotten, last, edge] = await Promise.all([back(live, 'm2'), back(live, 'm5'), back(live, 'm3')])
    await send(live, ...numbered(6, 6))
    await Promise.all([forgotten.hears(4), last.hears(1), edge.hears(3)])
    expect(forgotten.events[0]).toEqual({ event: 'trivium-gap', data: '{"lastEventId":"m2"}' })
    expect(forgotten.ids).toEqual([undefined, 'm4', 'm5', 'm6'])
    expect(last.ids).toEqual(['m6'])
    expect(edge.ids).toEqual(['m4', 'm5', 'm6']) // the latest that is gone: nothing after it is missing
  })

  it.each([
    ['bytes', { maxBytes: '1KiB' }],
    ['days', { maxAge: '0s' }],
  ])('is told of a gap where %s were too many', async (_, replay) => {
    const live = await serving({ connection: { events: { replay } } })
    await send(live, ...numbered(1, 200))
    const reader = await back(live, 'm1')
    await reader.hears(1)
    expect(reader.events[0]).toMatchObject({ event: 'trivium-gap' })
  })

  it('after a crash: gets what a stored route has sent, a gap where it was in memory', async () => {
    const kept = new FakeKept()
    const before = await serving({ kept })
    await send(before, ...numbered(1, 5))
    await before.sink.close()
    const after = await serving({ kept: kept.crash() })
    const reader = await back(after, 'm3')
    await send(after, ...numbered(6, 6))
    await reader.hears(3)
    expect(reader.ids).toEqual(['m4', 'm5', 'm6'])
    const forgetful = await back(await serving(), 'm3')
    await forgetful.hears(1)
    expect(forgetful.events).toEqual([{ event: 'trivium-gap', data: '{"lastEventId":"m3"}' }])
  })

  it('finds no more on disk than the bounds say', async () => {
    const kept = new FakeKept()
    const live = await serving({ kept, connection: { events: { replay: { maxEvents: 3 } } } })
    await send(live, ...numbered(1, 50))
    expect(kept.size).toBe(3)
  })

  it('is delivered only once the store has it', async () => {
    const kept = new FakeKept()
    const live = await serving({ kept })
    const go = kept.stall()
    let isSettled = false
    const sent = send(live, event({})).then(() => {
      isSettled = true
    })
    const reader = await follow(`${live.url}/live/berlin`)
    reader.close()
    expect(isSettled).toBe(false)
    go()
    await sent
  })

  it('catches up with more than a reader may have waiting, at its own pace', async () => {
    const connection = { events: { maxReaderBuffer: '64KiB' } }
    const live = await serving({ connection })
    const payload = 'x'.repeat(32 * 1024)
    await send(live, ...Array.from({ length: 200 }, (_, at) => event({ messageId: `m${at}`, payload })))
    const reader = await back(live, 'm0')
    await send(live, event({ messageId: 'last', payload: '' }))
    await reader.hears(200)
    expect(reader.ids.at(-1)).toBe('last')
    expect(new Set(reader.ids).size).toBe(200)
    expect(live.context.counts.get('events_readers_dropped')).toBe(undefined)
  })
})

describe('many readers', () => {
  it('200 of them hear all', async () => {
    const live = await serving()
    const readers = await Promise.all(Array.from({ length: 200 }, () => follow(`${live.url}/live/berlin`)))
    await send(live, ...numbered(1, 20))
    await Promise.all(readers.map((reader) => reader.hears(20)))
    expect(new Set(readers.map(({ ids }) => ids.join()))).toEqual(new Set([readers[0]!.ids.join()]))
    expect(live.context.counts.get('events_readers')).toBe(200)
  })

  it('one that reads nothing is dropped and counted, and slows nobody', async () => {
    const live = await serving({ connection: { events: { maxReaderBuffer: '256KiB' } } })
    const [slow, fast] = [await follow(`${live.url}/live/berlin`), await follow(`${live.url}/live/berlin`)]
    slow.pause()
    const payload = 'x'.repeat(128 * 1024)
    let sent = 0
    while (live.context.counts.get('events_readers_dropped') === undefined) {
      sent += 1
      expect(kinds(await send(live, event({ messageId: `m${sent}`, payload })))).toEqual(['delivered'])
      await fast.hears(sent)
    }
    await send(live, event({ messageId: 'last' }))
    await fast.hears(sent + 1)
    expect(live.context.counts.get('events_readers_dropped')).toBe(1)
    expect(live.context.texts().join('\n')).toContain('too slow')
    slow.response.resume()
    await slow.ends()
  })

  it('one is dropped in the middle of a batch, and the next finds its place', async () => {
    const live = await serving({ connection: { events: { maxReaderBuffer: '64KiB' } } })
    const slow = await follow(`${live.url}/live/berlin`)
    slow.pause()
    const payload = 'x'.repeat(1024 * 1024)
    await send(live, ...Array.from({ length: 40 }, () => event({ payload })))
    expect(live.context.counts.get('events_readers_dropped')).toBe(1)
    slow.response.resume()
    await slow.ends()
    const next = await follow(`${live.url}/live/berlin`)
    await send(live, event({ messageId: 'next' }))
    await next.hears(1)
  })

  it('one that is overtaken while it catches up is told of a gap', async () => {
    const live = await serving({ connection: { events: { replay: { maxEvents: 20 } } } })
    const payload = 'x'.repeat(1024 * 1024)
    await send(live, ...Array.from({ length: 16 }, (_, at) => event({ messageId: `m${at}`, payload })))
    const reader = await follow(`${live.url}/live/berlin`, { 'last-event-id': 'm0' })
    reader.pause()
    await send(live, ...Array.from({ length: 20 }, (_, at) => event({ messageId: `n${at}` })))
    reader.response.resume()
    await eventually(() => reader.ids.at(-1) === 'n19', { what: 'the latest' })
    expect(reader.events.some(({ event: type }) => type === 'trivium-gap')).toBe(true)
    expect(reader.ids.filter((id) => id?.startsWith('n'))).toHaveLength(20)
    expect(reader.ids.length).toBeLessThan(36)
  })

  it('one behind another on its connection is refused: it would take a place for ever', async () => {
    const live = await serving()
    const socket = connect(Number(new URL(live.url).port), '127.0.0.1')
    cleanups.push(() => socket.destroy())
    socket.write('GET /live/berlin HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2))
    await once(socket, 'data')
    await eventually(() => live.context.counts.get('http_503') === 1, { what: 'a refusal' })
    expect(live.context.counts.get('events_readers')).toBe(1)
  })

  it('beyond maxReaders get 503', async () => {
    const live = await serving({ connection: { events: { maxReaders: 1 } } })
    const first = await follow(`${live.url}/live/berlin`)
    await expect(EventReader.follow(`${live.url}/live/berlin`)).rejects.toThrow('503')
    first.close()
    await eventually(() => follow(`${live.url}/live/berlin`), { what: 'room again' })
  })
})

describe('who may follow', () => {
  const status = async (url: string, headers: Record<string, string>) => {
    const { response, outgoing } = await get(url, headers)
    outgoing.destroy()
    return [response.statusCode, response.headers['access-control-allow-origin']]
  }

  it('is who shows the credentials of the listener', async () => {
    const { url } = await serving({ connection: { auth: { tokens: ['secret'] } } })
    expect(await status(`${url}/live/berlin`, {})).toEqual([401, undefined])
    expect(await status(`${url}/live/berlin`, { authorization: 'Bearer secret' })).toEqual([200, undefined])
  })

  it('is a page that cors names, and no other', async () => {
    const { url } = await serving({ connection: { cors: { origins: ['https://panel.example.com'] } } })
    const panel = { origin: 'https://panel.example.com' }
    expect(await status(`${url}/live/berlin`, panel)).toEqual([200, 'https://panel.example.com'])
    expect(await status(`${url}/live/berlin`, { origin: 'https://evil.example.com' })).toEqual([403, undefined])
    expect(await status(`${url}/live/berlin`, { host: 'panel.example.com:80' })).toEqual([200, undefined])
  })

  it('is no page of a name that was made to mean this machine', async () => {
    const { url } = await serving()
    expect(await status(`${url}/live/berlin`, { host: 'evil.example.com:8080' })).toEqual([403, undefined])
    expect(await status(`${url}/live/berlin`, { host: '[::1]:8080' })).toEqual([200, undefined])
    expect(await status(`${url}/live/berlin`, { host: 'localhost' })).toEqual([200, undefined])
  })

  it('may ask only for paths that a target makes', async () => {
    const { url } = await serving()
    expect(await status(`${url}/other`, { accept: 'text/event-stream' })).toEqual([404, undefined])
    expect(await status(`${url}/live/`, { accept: 'text/event-stream' })).toEqual([404, undefined])
    expect(await status(`${url}/live/a%20b`, {})).toEqual([200, undefined])
  })
})

describe('a route', () => {
  const yaml = (port: number, rest = '') => `
    gateway: { id: live, dataDir: "\${env:TRIVIUM_DATA_DIR}", admin: false, drain: 500ms }
    connections:
      api: { protocol: http, listen: "http://127.0.0.1:${port}" }
      bus: { protocol: memory, bus: live-${port} }
    routes:
      - name: live
        from: { connection: api, path: "/sites/{site}" }
        to: [{ connection: api, events: "/live/{params.site}" }]
      ${rest}`

  const post = async (port: number, id: string) => {
    const init = { method: 'POST', headers: { 'idempotency-key': id }, body: id }
    return (await fetch(`http://127.0.0.1:${port}/sites/berlin`, init)).status
  }

  it('has one port for what comes in and who follows, and a reader goes on where it was after a restart', async () => {
    const port = await freePort()
    const first = await new TestGateway(yaml(port)).ready()
    const reader = await follow(`http://127.0.0.1:${port}/live/berlin`)
    expect(await post(port, 'a')).toBe(202)
    expect(await post(port, 'b')).toBe(202)
    await reader.hears(2)
    expect(first.link('api', 'sink').extra.get('events_readers')).toBe(1)
    await first.pause()
    await reader.ends()
    const second = await new TestGateway(yaml(port), first.dataDir).ready()
    cleanups.push(() => second.stop())
    expect(await post(port, 'c')).toBe(202)
    const back = await follow(`http://127.0.0.1:${port}/live/berlin`, { 'last-event-id': 'a' })
    await back.hears(2)
    expect(back.ids).toEqual(['b', 'c'])
  })

  it('that reads the same path by GET has what does not ask for events', async () => {
    const port = await freePort()
    const other = `- { name: look, from: { connection: api, method: GET, path: "/live/*" }, to: [{ connection: bus, topic: x }] }`
    const gateway = await new TestGateway(yaml(port, other)).ready()
    cleanups.push(() => gateway.stop())
    const url = `http://127.0.0.1:${port}/live/berlin`
    expect((await fetch(url)).status).toBe(202)
    await follow(url)
    const { response, outgoing } = await get(`${url}%2Fhall`) // no path of a route
    expect(response.headers['content-type']).toContain('text/event-stream')
    outgoing.destroy()
  })

  it.each([
    ['to: [{ connection: web, events: /live }]', 'readers need a connection with `listen`'],
    ['to: [{ connection: api, url: "http://localhost/" }]', 'the connection listens'],
    ['to: [{ connection: api, events: live }]', 'a path begins with `/`'],
    ['to: [{ connection: api, events: "/live/../x" }]', 'a level of the path is `.` or `..`'],
    ['to: [{ connection: api, events: /live, method: PUT }]', '`method`'],
    ['{ to: [{ connection: api, events: /live }], request: {} }', 'cannot reply'],
  ])('with %s is told: %s', async (text, message) => {
    const part = text.startsWith('{') ? text.slice(1, -1) : text
    const wrong = `
      connections: { api: { protocol: http, listen: "http://127.0.0.1:1" }, web: { protocol: http } }
      routes: [{ from: { connection: api, path: /x }, ${part} }]`
    expect(() => new TestGateway(wrong)).toThrow(message)
  })
})
