/** A golden case of the rules: what a file of this folder holds, and what the router makes of it. */
import { parse } from 'yaml'
import { protocols } from '../../protocols/index.ts'
import type { AnyProtocol } from '../../src/adapter/protocol.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { GatewayConfig } from '../../src/config/schema/types.ts'
import { type CustomHeaders, Envelope } from '../../src/envelope/envelope.ts'
import { compileRoute, type Decision, Router } from '../../src/routing/router.ts'

/** See README.md. */
export interface RuleCase {
  readonly routes: readonly unknown[]
  readonly given?: Given
  readonly expect?: readonly ExpectedForward[]
  readonly reason?: string
  readonly expectError?: string
}

interface Given extends Fields {
  readonly connection: string
  readonly address: string
  readonly subject?: string
}

/** The canonical fields as users write them; one of the payload's forms. */
interface Fields {
  readonly headers?: Readonly<Record<string, unknown>>
  readonly payload?: unknown
  readonly text?: string | undefined
  readonly base64?: string | undefined
  readonly [field: string]: unknown
}

interface ExpectedForward {
  readonly connection: string
  readonly target?: Readonly<Record<string, unknown>>
  readonly envelope?: Fields
}

export interface Answer {
  readonly forwards: readonly { readonly connection: string; readonly target: unknown; readonly envelope: Envelope }[]
  readonly reasons: readonly string[]
  readonly errors: readonly string[]
}

/** When every message of a case was received. */
const receivedAt = Date.parse('2026-01-02T03:04:06.789Z')

const connections = {
  devices: { protocol: 'mqtt', url: 'mqtt://localhost:1883' },
  orders: { protocol: 'amqp', url: 'amqp://localhost' },
  events: { protocol: 'kafka', brokers: ['localhost:9092'] },
  bus: { protocol: 'memory' },
  web: { protocol: 'http' },
}

const byName = new Map(protocols.map((protocol) => [protocol.name, protocol]))

function protocolOf(name: string): AnyProtocol {
  const protocol = byName.get(name)
  if (protocol === undefined) throw new Error(`no protocol ${name}`)
  return protocol
}

export const readCase = (text: string): RuleCase => parse(text) as RuleCase

/** Loads the routes as the gateway does and lets them judge the message. */
export function answerOf({ routes, given }: RuleCase): Answer {
  const text = JSON.stringify({ connections, routes })
  const { config, diagnostics } = loadConfig(text, { file: 'case.yaml', env: {}, protocols })
  if (config === undefined) {
    const errors = diagnostics.flatMap(({ message, help }) => [message, help ?? ''])
    return { forwards: [], reasons: [], errors }
  }
  if (given === undefined) throw new Error('the routes are valid, and no message is given')
  return judge(config, given)
}

function judge(config: GatewayConfig, given: Given): Answer {
  const routes = config.routes.filter(({ from }) => from.connection === given.connection)
  const router = new Router(
    routes.map((route) => compileRoute(route, protocolOf)),
    protocolOf,
  )
  const matches = router.lookup(given.address, given.subject)
  const judged = matches.map(({ route, params }) => ({
    route,
    decision: route.decide({ envelope: envelopeOf(given), params, receivedAt }),
  }))
  return {
    forwards: judged.flatMap(({ route, decision }) =>
      outboundsOf(decision).flatMap((outbound, index) => {
        if (outbound === undefined) return []
        const { target, envelope } = outbound
        return [{ connection: route.route.to[index]?.connection ?? '', target, envelope }]
      }),
    ),
    reasons: matches.length === 0 ? ['no_route'] : judged.flatMap(({ decision }) => reasonOf(decision)),
    errors: judged.flatMap(({ decision }) =>
      decision.kind === 'failed' ? [`${decision.error.code} ${decision.error.message}`] : [],
    ),
  }
}

const outboundsOf = (decision: Decision) => (decision.kind === 'forward' ? decision.outbounds : [])
const reasonOf = (decision: Decision) => (decision.kind === 'filtered' ? [decision.reason] : [])

function envelopeOf({
  connection: _,
  address,
  subject: __,
  payload,
  text,
  base64,
  headers,
  ...fields
}: Given): Envelope {
  const { contentType, priority, ttl, retryCount, ...custom } = headers ?? {}
  return new Envelope({
    messageId: 'message-1',
    timestamp: '2026-01-02T03:04:05Z',
    source: `test://${address}`,
    ...fields,
    contentType: contentType as string | undefined,
    priority: priority as number | undefined,
    ttlMs: ttl as number | undefined,
    retryCount: retryCount as number | undefined,
    headers: custom as CustomHeaders,
    payload: bytesOf({ payload, text, base64 }),
  })
}

function bytesOf({ payload, text, base64 }: Fields): Uint8Array | null {
  if (text !== undefined) return Buffer.from(text)
  if (base64 !== undefined) return Buffer.from(base64, 'base64')
  return payload === undefined ? null : Buffer.from(JSON.stringify(payload))
}

/** What of an envelope an expectation names, in the same form. */
export function viewOf(envelope: Envelope, like: Fields): Record<string, unknown> {
  const view: Record<string, unknown> = {}
  for (const name of Object.keys(like)) view[name] = fieldOf(envelope, name, like)
  return view
}

function fieldOf(envelope: Envelope, name: string, like: Fields): unknown {
  if (name === 'payload') return envelope.json
  if (name === 'text') return Buffer.from(envelope.payload ?? []).toString('utf8')
  if (name === 'base64') return Buffer.from(envelope.payload ?? []).toString('base64')
  if (name !== 'headers') return (envelope as unknown as Record<string, unknown>)[name]
  const { contentType, priority, ttlMs: ttl, retryCount, headers } = envelope
  const all: Record<string, unknown> = { ...headers, contentType, priority, ttl, retryCount }
  return Object.fromEntries(Object.keys(like.headers ?? {}).map((header) => [header, all[header]]))
}
