/** Settings of a connection that listens: an HTTP server, for sources and for targets with `events`. */
import { z } from 'zod'
import { type AddressRule, addressProblem, parseAddress } from '../../../src/adapter/address.ts'
import type { DoorSettings } from '../../../src/adapter/door.ts'
import { duration, refuse, secret, size, timeLimit } from '../../../src/adapter/schema.ts'
import { eventsSettings } from '../events/config.ts'
import { layouts } from './layouts.ts'

const listenUrl = () => z.string().superRefine(refuse(listenProblem)).meta({ address: true })
const file = (description: string, more = {}) => z.string().meta({ description, file: true, ...more })
const secrets = (description: string) => z.array(secret()).min(1).meta({ description, secret: true })

const tls = z.strictObject({
  cert: file('File with the certificate of the server, and those between it and its authority (PEM).'),
  key: file('File with its key (PEM), not encrypted.', { private: true }),
  ca: file('File with the authority of client certificates (PEM), which are then demanded.').optional(),
  crl: file('File with the revocation lists of that authority (PEM); what they name is refused.').optional(),
})

const user = z.strictObject({
  username: z
    .string()
    .regex(/^[^:\p{Cc}]+$/u, { error: 'a user name has no `:` and no control character' })
    .meta({ description: 'User name of basic authentication.' }),
  password: secret().meta({ description: 'Its password; use ${env:…} or ${file:…}.', secret: true }),
})

const signature = z.strictObject({
  layout: z.enum(layouts).meta({
    description:
      'Whose headers: `standard` (Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature), `github` (x-hub-signature-256) or `stripe` (stripe-signature).',
  }),
  secrets: secrets(
    'Secrets of which one has signed, as the sender shows them (`whsec_…`); several while one is exchanged for another.',
  ),
  tolerance: duration().prefault('5m').meta({
    description:
      'How far the time of a signature may be from now, and how long it is remembered so that it counts once; `github` has no time.',
  }),
})

const auth = z
  .strictObject({
    tokens: secrets('Tokens of which a request shows one: `Authorization: Bearer …`.').optional(),
    users: z.array(user).min(1).optional().meta({ description: 'Users of basic authentication.' }),
    signatures: z.array(signature).min(1).optional().meta({ description: 'Signatures of which a request has one.' }),
  })
  .refine((ways) => Object.values(ways).some((way) => way !== undefined), {
    error: 'name `tokens`, `users` or `signatures`',
  })

const cors = z.strictObject({
  origins: z
    .array(z.string().superRefine(refuse(originProblem)))
    .min(1)
    .meta({
      description: 'Origins of the pages that may send, `*` for all.',
      examples: [['https://panel.example.com']],
    }),
  maxAge: duration().prefault('10m').meta({ description: 'How long a browser may remember that it may.' }),
})

const replies = z.strictObject({
  maxCount: z
    .int()
    .min(1)
    .default(10_000)
    .meta({ description: 'Most requests and answers kept at once; beyond it 503.' }),
  maxBytes: size().prefault('64MiB').meta({ description: 'Most bytes of them on disk; beyond it 503.' }),
  maxAge: duration().prefault('1h').meta({ description: 'How long an answer is kept; then 410.' }),
})

export const HttpListenerConnection = z
  .strictObject({
    listen: z.union([listenUrl(), z.array(listenUrl()).min(1)]).meta({
      description: 'Addresses to listen on, by http or https.',
      examples: ['http://127.0.0.1:8080'],
    }),
    tls: tls.optional().meta({ description: 'Certificate and key of https; read again when they change.' }),
    auth: auth.optional().meta({ description: 'Who may send: any one of what it names lets a request in.' }),
    cors: cors.optional().meta({
      description: 'Pages of other origins that may send from a browser. Default: none; what a page sends is refused.',
    }),
    replies: replies.prefault({}).meta({
      description: 'Answers kept on disk for those who ask with `Prefer: respond-async` and fetch them later.',
    }),
    insecure: z.boolean().default(false).meta({
      description: 'Allows a listener that others can reach without `auth` or client certificates.',
    }),
    maxBodySize: size().prefault('1MiB').meta({ description: 'Largest body of a request.' }),
    maxHeaderSize: size().prefault('16KiB').meta({ description: 'Most bytes of the headers of a request.' }),
    maxConnections: z.int().min(1).default(10_000).meta({ description: 'Most connections at once.' }),
    maxInFlight: z.int().min(1).max(65_535).default(1_024).meta({
      description: 'The `maxInFlight` of each `from` that has none of its own.',
    }),
    headerTimeout: timeLimit().prefault('10s').meta({ description: 'Time for the headers of a request to arrive.' }),
    bodyTimeout: timeLimit().prefault('30s').meta({ description: 'Time for its body to arrive.' }),
    answerTimeout: timeLimit().prefault('30s').meta({
      description: 'Time for the message to be safe; then the answer is 504, and the message goes on.',
    }),
    idleTimeout: timeLimit()
      .prefault('60s')
      .meta({ description: 'How long a connection stays open between requests.' }),
    events: eventsSettings
      .prefault({})
      .meta({ description: 'Readers of targets with `events`, and what is kept for them.' }),
  })
  .meta({ title: 'With `listen`: a server, for sources and targets with `events`' })
export type HttpListenerConnection = z.output<typeof HttpListenerConnection>
export type ListenerTls = NonNullable<HttpListenerConnection['tls']>

/** A listener of the gateway's own. */
export function doorListener({ listen, token }: DoorSettings): HttpListenerConnection {
  const auth = token === undefined ? undefined : { tokens: [token] }
  return HttpListenerConnection.parse({ listen, auth, insecure: true })
}

export interface ListenAddress {
  readonly scheme: 'http' | 'https'
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly text: string
}

const defaultPorts = { http: 80, https: 443 } as const
const listenRule: AddressRule = { schemes: Object.keys(defaultPorts), example: 'http://127.0.0.1:8080', leastPort: 0 }

function listenProblem(text: string): string | undefined {
  const problem = addressProblem(text, listenRule)
  if (problem !== undefined) return problem
  const { username, path, query } = parseAddress(text, 0)
  if (username !== undefined) return 'an address to listen on has no user: name them in `auth`'
  return path.length > 1 || query !== '' ? 'an address to listen on has no path: that is `from.path`' : undefined
}

/** The addresses of a listener; the schema has checked them. A port may be left out. */
export function listenAddresses({ listen }: HttpListenerConnection): readonly ListenAddress[] {
  return (typeof listen === 'string' ? [listen] : listen).map((text) => {
    const { scheme, host, port } = parseAddress(text, 0)
    const known = scheme as ListenAddress['scheme']
    return { scheme: known, host, port: port ?? defaultPorts[known], text }
  })
}

/** As browsers write it: scheme, host, and the port where it is not the scheme's own. */
function originProblem(text: string): string | undefined {
  if (text === '*' || (URL.canParse(text) && new URL(text).origin === text)) return undefined
  return 'expected `*`, or scheme, host and port as a browser sends them, e.g. https://panel.example.com'
}
