import type { Duplex } from 'node:stream'
import type { Channel, ChannelModel, ConfirmChannel, Options } from 'amqplib'
import { parseAddress, shownAddress } from '../../../src/adapter/address.ts'
import type { Context } from '../../../src/adapter/contract.ts'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { once } from '../../../src/adapter/once.ts'
import { clientTlsOptions } from '../../../src/adapter/tls-files.ts'
import type { GatewayError } from '../../../src/errors.ts'
import type { AmqpConnectionConfig } from '../config.ts'
import { lost, toGatewayError } from '../errors.ts'
import { type FrameReader, readOwnProperties } from './frames.ts'
import { parametersOf } from './parameters.ts'

/** Loaded by the first connection: many gateways have none. */
export const loadDriver = once(() => import('amqplib'))
/** Longest wait for a connection, and for the answer to one call. Milliseconds. */
export const connectDeadlineMs = 10_000
export const callDeadlineMs = 10_000
const closeDeadlineMs = 2_000

/** What amqplib's types leave out: its own emitter, which alone reports `handler-error`, and the socket. */
interface Inner extends FrameReader {
  readonly stream: Duplex
  on(event: 'handler-error', listener: (error: Error) => void): void
}

/** One connection from open to loss; it never reconnects, the gateway opens a new one. */
export class AmqpConnection {
  readonly #model: ChannelModel
  readonly #inner: Inner
  readonly #context: Context
  readonly #lost = Promise.withResolvers<GatewayError>()
  readonly #name: string
  #whenUnblocked: PromiseWithResolvers<void> | undefined
  #isClosing = false
  #isOpen = true

  private constructor(model: ChannelModel, name: string, context: Context) {
    this.#model = model
    this.#inner = model.connection as unknown as Inner
    this.#name = name
    this.#context = context
    coalesceWrites(this.#inner.stream)
    readOwnProperties(this.#inner)
    model.on('error', (error) => this.#end(error))
    model.on('close', (error) => this.#end(error))
    model.on('blocked', (reason) => this.#block(reason))
    model.on('unblocked', () => this.#unblock())
    // A throw of ours inside the driver: the message it handled would hang for ever (amqplib #334).
    this.#inner.on('handler-error', (error) => this.fail(error))
  }

  /** Connects and authenticates, within ten seconds. `role` is shown in the broker's list of connections. */
  static async open(
    settings: AmqpConnectionConfig,
    context: Context,
    role: 'source' | 'sink',
    signal: AbortSignal,
  ): Promise<AmqpConnection> {
    const options = connectOptions(settings)
    const name = shownAddress(settings.url)
    const clientProperties = { connection_name: `trivium ${context.gatewayId} ${context.connection} ${role}` }
    const socket = {
      ...clientTlsOptions(settings.tls, context.log),
      noDelay: true,
      timeout: connectDeadlineMs,
      clientProperties,
    }
    const { connect } = await loadDriver()
    const connecting = connect(options, socket)
    try {
      const model = await withDeadline(connecting, connectDeadlineMs, `connecting to ${name}`)
      const connection = new AmqpConnection(model, name, context)
      if (!signal.aborted) return connection
      await connection.close()
    } catch (error) {
      connecting.then((late) => new AmqpConnection(late, name, context).close()).catch(() => {})
      throw toGatewayError(error, `cannot connect to ${name}`)
    }
    throw lost(`connecting to ${name} was given up`)
  }

  get isOpen(): boolean {
    return this.#isOpen && !this.#isClosing
  }

  /** True while an alarm of the broker (memory, disk) keeps it from reading what we publish. */
  get isBlocked(): boolean {
    return this.#whenUnblocked !== undefined
  }

  /** Resolves when the broker reads again, or the connection has ended. */
  async whenUnblocked(): Promise<void> {
    await this.#whenUnblocked?.promise
  }

  /** Resolves with the reason when the connection is lost; stays pending through `close`. */
  get lost(): Promise<GatewayError> {
    return this.#lost.promise
  }

  openChannel(): Promise<Channel> {
    return this.#watched(this.#model.createChannel())
  }

  openConfirmChannel(): Promise<ConfirmChannel> {
    return this.#watched(this.#model.createConfirmChannel())
  }

  /** Ends the connection as lost, e.g. when it no longer answers. */
  fail(error: unknown): void {
    this.#end(error)
    this.#destroy()
  }

  /** Says goodbye if the broker listens, and lets go of the socket in any case. */
  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    if (this.#isOpen) await withDeadline(this.#model.close(), closeDeadlineMs, 'closing').catch(() => {})
    this.#unblock()
    this.#destroy()
  }

  /** A channel within the deadline, with listeners where the driver would otherwise throw. */
  async #watched<T extends Channel>(opening: Promise<T>): Promise<T> {
    const watched = opening.then((channel) => {
      channel.on('error', () => {}) // what a channel's end means is told at its 'close'
      channel.on('handler-error', (error) => this.fail(error))
      return channel
    })
    try {
      return await withDeadline(watched, callDeadlineMs, 'opening a channel')
    } catch (error) {
      throw toGatewayError(error, `opening a channel at ${this.#name}`)
    }
  }

  #end(error: unknown): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#unblock()
    if (!this.#isClosing) this.#lost.resolve(toGatewayError(error ?? lost('closed'), `lost ${this.#name}`))
    // The driver only half-closes the socket; a peer that is gone would keep it for minutes.
    setTimeout(() => this.#destroy(), closeDeadlineMs).unref()
  }

  /** With an error, because only that makes the driver end its channels and timers. */
  #destroy(): void {
    if (!this.#inner.stream.destroyed) this.#inner.stream.destroy(new Error('closed by the gateway'))
  }

  #block(reason: string): void {
    if (this.#whenUnblocked !== undefined) return
    this.#whenUnblocked = Promise.withResolvers()
    this.#context.count('blocked')
    this.#context.log.warn(`${this.#context.connection}: the broker stops reading: ${reason}; messages wait`, {
      reason,
    })
  }

  #unblock(): void {
    if (this.#whenUnblocked === undefined) return
    if (this.#isOpen) this.#context.log.info(`${this.#context.connection}: the broker reads again`)
    this.#whenUnblocked.resolve()
    this.#whenUnblocked = undefined
  }
}

/** The driver writes every frame by itself, a system call each; this gathers those of one turn into one. */
function coalesceWrites(stream: Duplex): void {
  const write = stream.write.bind(stream) as (chunk: Buffer) => boolean
  let isCorked = false
  const uncork = () => {
    isCorked = false
    stream.uncork()
  }
  stream.write = (chunk: Buffer) => {
    if (!isCorked) {
      isCorked = true
      stream.cork()
      process.nextTick(uncork)
    }
    return write(chunk)
  }
}

function connectOptions(settings: AmqpConnectionConfig): Options.Connect {
  const address = parseAddress(settings.url)
  const username = settings.username ?? address.username
  const password = settings.password ?? address.password
  return {
    protocol: address.scheme,
    hostname: address.host,
    ...(address.port === undefined ? {} : { port: address.port }),
    // Without either the driver falls back to guest, as other clients do.
    ...(username === undefined && password === undefined ? {} : { username: username ?? '', password: password ?? '' }),
    ...(address.path.length > 1 ? { vhost: address.path.slice(1) } : {}),
    heartbeat: Math.round(settings.heartbeat / 1000),
    ...parametersOf(settings.url),
  }
}
