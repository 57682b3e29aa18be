import type { Outbound, Outcome } from '../adapter/contract.ts'
import type { AnyProtocol } from '../adapter/protocol.ts'
import { ProtocolFault } from '../adapter/protocol-fault.ts'
import { mostPayloadBytes, readBounded } from '../adapter/small-file.ts'
import { unreadableText } from '../config/report/unreadable.ts'
import type { ConnectionConfig, GatewayConfig } from '../config/schema/types.ts'
import { Envelope, type Format, formats } from '../envelope/envelope.ts'
import { uuidv7 } from '../envelope/uuid.ts'
import { messageOf } from '../errors.ts'
import { Publisher } from '../library/publisher.ts'
import { compilePattern } from '../routing/pattern.ts'
import { createLog } from '../telemetry/log.ts'
import { visible } from '../telemetry/visible.ts'
import { readConfig } from './config-file.ts'
import { exitCodes } from './exit-codes.ts'
import { counted } from './words.ts'

export interface PublishCommandOptions {
  readonly config?: string
  readonly header: readonly string[]
  readonly key?: string
  readonly type?: string
  readonly contentType?: string
  readonly format?: string
  readonly count: string
}

interface GivenMessage {
  readonly connection: string
  readonly destination: string
  readonly body: string | undefined
}

/** Sends through a sink of its own, as the gateway would; resolves with the exit code. */
export async function publish(message: GivenMessage, options: PublishCommandOptions): Promise<number> {
  const usage = usageProblem(options)
  if (usage !== undefined) return fail(exitCodes.usage, usage)
  const config = readConfig(options.config)
  if (typeof config === 'number') return config
  const connection = config.connections.get(message.connection)
  if (connection === undefined) {
    const names = [...config.connections.keys()].join(', ')
    return fail(exitCodes.usage, `no connection named ${message.connection}; configured: ${names}`)
  }
  const protocol = config.protocols.find(({ name }) => name === connection.protocol)
  if (protocol?.sink === undefined) return fail(exitCodes.usage, `${connection.protocol} cannot be published to`)
  const payload = await payloadOf(message.body)
  if (typeof payload === 'string') return fail(exitCodes.noInput, payload)
  const { destination } = message
  const target = protocol.sink.targetOf(destination, options.key)
  const outbound = Array.from({ length: Number(options.count) }, () =>
    outboundOf(payload, target, destination, options),
  )
  const code = await send(protocol.sink, connection, outbound, destination)
  if (code === exitCodes.ok) noteUnread(config, connection, destination)
  return code
}

/** Where the gateway is the broker, nobody else tells that a topic is misspelt. */
function noteUnread(config: GatewayConfig, { name, protocol, settings }: ConnectionConfig, destination: string): void {
  const { source, sink } = config.protocols.find((one) => one.name === protocol) ?? {}
  if (source === undefined || sink?.outside?.(settings) === undefined) return
  const froms = config.routes.flatMap(({ from }) => (from.connection === name ? [from.settings] : []))
  const patterns = froms.flatMap((from) => source.patterns(from))
  if (patterns.some((pattern) => compilePattern(pattern).match(destination) !== undefined)) return
  console.error(visible(`note: no route reads ${destination}; only devices that subscribe to it get the message`))
}

async function send(
  sink: NonNullable<AnyProtocol['sink']>,
  connection: ConnectionConfig,
  batch: readonly Outbound[],
  destination: string,
): Promise<number> {
  let publisher: Publisher | undefined
  try {
    publisher = new Publisher(sink, connection, createLog({ level: 'warn', format: 'auto' }))
    await publisher.open()
    const problem = await publisher.send(batch)
    if (problem !== undefined) return reportOutcome(problem, destination)
    console.error(
      `${counted(batch.length, 'message')} confirmed by ${connection.name}/${sink.address(batch[0]?.target)}`,
    )
    return exitCodes.ok
  } catch (error) {
    if (error instanceof ProtocolFault && error.cause instanceof Error) console.error(error.cause.stack)
    if (error instanceof ProtocolFault) return fail(exitCodes.internal, `${connection.name}: ${error.message}`)
    const help = publisher?.isOurs ? '; the gateway is the broker here: is it running?' : ''
    return fail(exitCodes.unavailable, `${messageOf(error)}${help}`)
  } finally {
    await publisher?.close()
  }
}

function reportOutcome(outcome: Outcome, destination: string): number {
  if (outcome.kind === 'delivered') return exitCodes.ok
  const text = `${destination}: ${outcome.error.code}: ${outcome.error.message}`
  return fail(outcome.kind === 'rejected' ? exitCodes.found : exitCodes.unavailable, text)
}

function outboundOf(
  payload: Uint8Array,
  target: unknown,
  destination: string,
  options: PublishCommandOptions,
): Outbound {
  const headers = Object.assign(Object.create(null), Object.fromEntries(options.header.map(headerOf)))
  const envelope = new Envelope({
    messageId: uuidv7(),
    timestamp: new Date().toISOString(),
    source: 'trivium://publish',
    destination,
    payload,
    headers,
    eventType: options.type,
    contentType: options.contentType,
    key: options.key,
  })
  return { envelope, target, format: options.format as Format | undefined }
}

const headerOf = (text: string): [string, string] => {
  const at = text.indexOf('=')
  return [text.slice(0, at), text.slice(at + 1)]
}

function usageProblem({ header, format, count }: PublishCommandOptions): string | undefined {
  const badHeader = header.find((text) => text.indexOf('=') < 1)
  if (badHeader !== undefined) return `--header ${badHeader}: expected name=value`
  if (format !== undefined && !formats.includes(format as Format))
    return `--format ${format}: must be one of ${formats.join(', ')}`
  return /^[1-9]\d{0,6}$/.test(count) ? undefined : `--count ${count}: must be a number from 1 to 9999999`
}

/** Its bytes, or why the file that it names cannot be read. */
async function payloadOf(body: string | undefined): Promise<Uint8Array | string> {
  if (body === undefined || body === '-') return standardInput()
  if (!body.startsWith('@')) return Buffer.from(body)
  try {
    return readBounded(body.slice(1), mostPayloadBytes)
  } catch (error) {
    return unreadableText(body.slice(1), error)
  }
}

async function standardInput(): Promise<Uint8Array | string> {
  const chunks: Buffer[] = []
  let total = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    total += chunk.length
    if (total > mostPayloadBytes) return `standard input is larger than ${mostPayloadBytes / 1024 ** 2} MiB`
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function fail(code: number, message: string): number {
  console.error(`trivium: ${visible(message)}`)
  return code
}
