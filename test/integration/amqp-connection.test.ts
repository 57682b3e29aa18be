import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { brokerAddresses } from '../support/brokers/addresses.ts'
import { Authority } from '../support/brokers/certificates.ts'
import { Bench, outbound, recorder, settingsOf, targetOf } from '../support/contexts/amqp.ts'
import { codes, never } from '../support/contexts/messages.ts'
import { eventually } from '../support/poll.ts'
import { freePort } from '../support/ports.ts'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench.end())

/** Stands between adapter and broker: cuts, freezes, or speaks for the broker. */
class Relay {
  readonly #server: Server
  readonly #pairs = new Set<{ near: Socket; far: Socket }>()
  #isFrozen = false

  constructor(server: Server, event: 'connection' | 'secureConnection') {
    this.#server = server
    const broker = new URL(brokerAddresses().amqp)
    server.on(event, (near: Socket) => {
      const far = connect(Number(broker.port), broker.hostname)
      const pair = { near, far }
      this.#pairs.add(pair)
      for (const socket of [near, far]) socket.on('error', () => {})
      near.on('close', () => far.destroy())
      far.on('close', () => this.#isFrozen || near.destroy()) // a silent broker does not say good-bye
      near.pipe(far)
      far.pipe(near)
    })
  }

  static async open(server = createServer(), event: 'connection' | 'secureConnection' = 'connection'): Promise<Relay> {
    const relay = new Relay(server, event)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    bench.later(async () => relay.#end())
    return relay
  }

  url(scheme = 'amqp'): string {
    return `${scheme}://guest:guest@127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Bytes the adapters have written, read on or not. */
  get bytesIn(): number {
    return [...this.#pairs].reduce((sum, { near }) => sum + near.bytesRead, 0)
  }

  cut(): void {
    for (const { near } of this.#pairs) near.resetAndDestroy()
  }

  /** The sockets stay, nothing comes through. */
  freeze(): void {
    this.#isFrozen = true
    for (const { near, far } of this.#pairs) {
      near.unpipe(far).pause()
      far.unpipe(near).pause()
    }
  }

  thaw(): void {
    this.#isFrozen = false
    for (const { near, far } of this.#pairs) {
      near.pipe(far)
      far.pipe(near)
    }
  }

  /** What a broker with an alarm does: says so, and reads no more. */
  block(): void {
    for (const { near, far } of this.#pairs) {
      near.unpipe(far).pause()
      near.write(method(10, 60, Buffer.from('\x09low on it')))
    }
  }

  unblock(): void {
    for (const { near, far } of this.#pairs) {
      near.write(method(10, 61))
      near.pipe(far)
    }
  }

  /** Ends a channel in the name of the broker, in one piece with the next answer to a call on it. */
  closeChannelBehindAnswer(classId: number, methodId: number, reason: string): void {
    for (const { near, far } of this.#pairs) {
      far.unpipe(near).resume()
      far.on('data', (bytes: Buffer) => {
        const isAnswer = bytes.length > 10 && bytes.readUInt16BE(7) === classId && bytes.readUInt16BE(9) === methodId
        near.write(isAnswer ? Buffer.concat([bytes, channelClose(bytes.readUInt16BE(1), reason)]) : bytes)
        if (isAnswer) near.unpipe(far).resume() // the broker knows nothing of it
      })
    }
  }

  #end(): void {
    this.cut()
    this.#server.close()
  }
}

/** A method frame of channel 0. */
function method(classId: number, methodId: number, args = Buffer.alloc(0)): Buffer {
  const frame = Buffer.alloc(12 + args.length)
  frame[0] = 1
  frame.writeUInt32BE(4 + args.length, 3)
  frame.writeUInt16BE(classId, 7)
  frame.writeUInt16BE(methodId, 9)
  args.copy(frame, 11)
  frame[frame.length - 1] = 0xce
  return frame
}

/** Channel.Close: precondition failed. */
function channelClose(channel: number, reason: string): Buffer {
  const text = Buffer.from(reason)
  const frame = method(20, 40, Buffer.concat([Buffer.from([406 >> 8, 406 & 255, text.length]), text, Buffer.alloc(4)]))
  frame.writeUInt16BE(channel, 1)
  return frame
}

const broker = () => new URL(brokerAddresses().amqp)

describe('amqp connection', () => {
  test('wrong credentials are named, the password is not', async () => {
    const context = recorder()
    const opening = bench.sink(settingsOf({ url: `amqp://guest:hunter2@${broker().host}` }), context)
    const error = await opening.then(
      () => undefined,
      (cause: Error) => cause,
    )
    expect(error).toMatchObject({ code: 'CREDENTIALS_REFUSED', retryable: true })
    expect(`${error?.message} ${error?.stack} ${context.texts().join()}`).not.toContain('hunter2')
  })

  test('user and password may stand beside the address, with any characters', async () => {
    const settings = settingsOf({ url: `amqp://${broker().host}`, username: 'guest', password: 'p@ss/%:word' })
    await expect(bench.sink(settings)).rejects.toMatchObject({ code: 'CREDENTIALS_REFUSED' })
    await bench.sink(settingsOf({ url: `amqp://${broker().host}`, username: 'guest', password: 'guest' }))
  })

  test('a virtual host that is not there is access denied', async () => {
    const opening = bench.sink(settingsOf({ url: `amqp://guest:guest@${broker().host}/nowhere` }))
    await expect(opening).rejects.toMatchObject({ code: 'ACCESS_DENIED', retryable: true })
  })

  test('nobody at the port is unreachable', async () => {
    const opening = bench.sink(settingsOf({ url: `amqp://127.0.0.1:${await freePort()}` }))
    await expect(opening).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', retryable: true })
  })

  test('a cut fails what is under way, tells the sink, and a new open goes on', async () => {
    const queue = await bench.queue()
    const relay = await Relay.open()
    const sink = await bench.sink(settingsOf({ url: relay.url() }))
    const target = targetOf({ queue })
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['delivered'])
    relay.freeze()
    const sending = sink.send([outbound(target), outbound(target)], never)
    const lost = sink.lost()
    relay.cut()
    expect(codes(await sending)).toEqual(['PEER_LOST', 'PEER_LOST'])
    expect(await lost).toMatchObject({ code: 'PEER_LOST' })
    await sink.close()
    await sink.open(never)
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['delivered'])
  })

  test('a cut ends a source, and what it had not settled comes again', async () => {
    const queue = await bench.queue()
    const relay = await Relay.open()
    ;(await bench.client()).sendToQueue(queue, Buffer.from('again'))
    const running = await bench.source({ queue }, recorder(), settingsOf({ url: relay.url() }))
    await running.has(1)
    relay.cut()
    await expect(running.done).rejects.toMatchObject({ code: 'PEER_LOST', retryable: true })
    running.received[0]!.settle('accept')
    const again = await bench.source({ queue })
    await again.has(1)
    again.received[0]!.settle('accept')
  })

  test('a channel that ends between two calls says why, not that it is closed', async () => {
    const queue = await bench.queue()
    const relay = await Relay.open()
    ;(await bench.client()).sendToQueue(queue, Buffer.from('held'))
    const running = await bench.source({ queue }, recorder(), settingsOf({ url: relay.url() }))
    await running.has(1)
    relay.closeChannelBehindAnswer(60, 11, 'timeout on the consumer') // Basic.QosOk; draining goes on with Basic.Consume
    const ended = expect(running.done).rejects.toMatchObject({ message: expect.stringContaining('timeout') })
    void running.stop().catch(() => {})
    await ended
  })

  test.each([
    ['heartbeats', '', { heartbeat: '1s' }],
    ['heartbeats of the address', '?heartbeat=1', {}],
  ])('a peer that falls silent is noticed by %s', async (_, query, settings) => {
    const relay = await Relay.open()
    const sink = await bench.sink(settingsOf({ url: `${relay.url()}${query}`, ...settings }))
    relay.freeze()
    expect(await sink.lost()).toMatchObject({ code: 'PEER_LOST', message: expect.stringContaining('Heartbeat') })
  })

  test('close returns soon although the peer is silent', async () => {
    const relay = await Relay.open()
    const sink = await bench.sink(settingsOf({ url: relay.url() }))
    let isLost = false
    void sink.lost().then(() => {
      isLost = true
    })
    relay.freeze()
    const startedMs = performance.now()
    await sink.close()
    expect(performance.now() - startedMs).toBeLessThan(10_000)
    expect(isLost).toBe(false)
  })

  test('while the broker blocks publishers, messages wait; then they go', async () => {
    const queue = await bench.queue()
    const relay = await Relay.open()
    const context = recorder()
    const sink = await bench.sink(settingsOf({ url: relay.url() }), context)
    const target = targetOf({ queue })
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['delivered'])
    relay.block()
    await eventually(() => context.counts.get('blocked') === 1, { what: 'the alarm' })
    const before = relay.bytesIn
    const sending = sink.send([outbound(target)], never)
    for (let trip = 0; trip < 3; trip += 1) expect(await bench.depth(queue)).toBe(1)
    expect(relay.bytesIn).toBe(before)
    relay.unblock()
    expect(codes(await sending)).toEqual(['delivered'])
    expect(context.texts().filter((line) => line.includes('low on it'))).toHaveLength(1)
  })

  test('without a confirm a send ends, and the next one has a channel of its own', async () => {
    const queue = await bench.queue()
    const relay = await Relay.open()
    const sink = await bench.sink(settingsOf({ url: relay.url() }))
    const target = targetOf({ queue })
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['delivered'])
    relay.freeze()
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'setInterval'] })
    bench.later(async () => jest.useRealTimers())
    const sending = sink.send([outbound(target)], never)
    await Promise.resolve()
    jest.advanceTimersByTime(55_000) // the clock that is not real does not know when the last confirm was
    jest.useRealTimers()
    const outcomes = await sending
    expect(codes(outcomes)).toEqual(['PEER_TIMEOUT'])
    expect(outcomes[0]).toMatchObject({ kind: 'retryable', error: { isOutage: true } })
    relay.thaw()
    expect(codes(await sink.send([outbound(target)], never))).toEqual(['delivered'])
  })

  test('a blocked sink closes and fails what waits', async () => {
    const queue = await bench.queue()
    const relay = await Relay.open()
    const context = recorder()
    const sink = await bench.sink(settingsOf({ url: relay.url() }), context)
    relay.block()
    await eventually(() => context.counts.get('blocked') === 1, { what: 'the alarm' })
    const sending = sink.send([outbound(targetOf({ queue }))], never)
    await sink.close()
    expect(codes(await sending)).toEqual(['PEER_LOST'])
  })
})

describe('amqps', () => {
  test('trusts the authority it is given, and no other', async () => {
    const authority = new Authority()
    bench.later(async () => authority.end())
    const { cert: ca, key } = authority.selfSigned({ cn: 'broker.test', names: 'DNS:broker.test' })
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(ca) })
    const relay = await Relay.open(server as unknown as Server, 'secureConnection')
    const queue = await bench.queue()

    const trusting = settingsOf({ url: relay.url('amqps'), tls: { ca, serverName: 'broker.test' } })
    const sink = await bench.sink(trusting)
    expect(codes(await sink.send([outbound(targetOf({ queue }))], never))).toEqual(['delivered'])
    const refused = (tls: object) => bench.sink(settingsOf({ url: relay.url('amqps'), tls }))
    await expect(refused({})).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE',
      message: expect.stringContaining('tls.ca'),
    })
    await expect(refused({ ca })).rejects.toMatchObject({ message: expect.stringContaining('tls.serverName') })
    await expect(refused({ ca: `${ca}.none` })).rejects.toMatchObject({ code: 'FILE_MISSING' })
  })

  test('a plain port is told apart', async () => {
    const opening = bench.sink(settingsOf({ url: `amqps://${broker().host}` }))
    await expect(opening).rejects.toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('TLS') })
  })
})
