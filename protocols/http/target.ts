/** Settings of HTTP as a target: a connection without `listen`, and one entry of `to`. */
import { z } from 'zod'
import { type AddressRule, addressProblem } from '../../src/adapter/address.ts'
import type { SettingsProblem } from '../../src/adapter/protocol.ts'
import { clientTls, refuse, secret, size, timeLimit } from '../../src/adapter/schema.ts'
import { headerNameProblem } from './client/header-text.ts'
import { secretProblem } from './client/signing.ts'
import { hasTemplatedHost } from './client/url.ts'
import { isFieldText } from './fields.ts'
import { layouts } from './listener/layouts.ts'

const tokenUrl: AddressRule = { schemes: ['https', 'http'], example: 'https://login.example.com/oauth2/token' }
const headerSecret = () => secret().refine(isFieldText, { error: 'a header holds visible ASCII only' })
const headerName = () => z.string().superRefine(refuse(headerNameProblem))

const oauth = z.strictObject({
  tokenUrl: z
    .string()
    .superRefine(refuse((text) => addressProblem(text, tokenUrl)))
    .meta({ description: 'Where tokens are fetched.', address: true, examples: [tokenUrl.example] }),
  clientId: z.string().min(1).meta({ description: 'Client id.' }),
  clientSecret: secret().meta({ description: 'Client secret; use ${env:…} or ${file:…}.', secret: true }),
  scope: z.string().min(1).optional().meta({ description: 'Scopes to ask for, with spaces between.' }),
  audience: z.string().min(1).optional().meta({ description: 'Audience to ask for, where the server wants one.' }),
})
export type OauthSettings = z.output<typeof oauth>

const auth = z
  .strictObject({
    token: headerSecret().optional().meta({ description: 'Sent as `Authorization: Bearer …`.', secret: true }),
    user: z
      .strictObject({
        username: z
          .string()
          .regex(/^[^:\p{Cc}]+$/u, { error: 'a user name has no `:` and no control character' })
          .meta({ description: 'User name of basic authentication.' }),
        password: secret().meta({ description: 'Its password; use ${env:…} or ${file:…}.', secret: true }),
      })
      .optional()
      .meta({ description: 'Basic authentication.' }),
    header: z
      .strictObject({
        name: headerName().meta({ description: 'Name of the header.', examples: ['x-api-key'] }),
        value: headerSecret().meta({ description: 'Its value; use ${env:…} or ${file:…}.', secret: true }),
      })
      .optional()
      .meta({ description: 'A header that the server knows us by.' }),
    oauth: oauth.optional().meta({
      description: 'Tokens by OAuth 2 client credentials: fetched ahead of their end, and anew after a 401.',
    }),
  })
  .refine((ways) => Object.values(ways).filter((way) => way !== undefined).length === 1, {
    error: 'name one of `token`, `user`, `header` and `oauth`',
  })
export type ClientAuth = z.output<typeof auth>

const sign = z.strictObject({
  layout: z.enum(layouts).meta({
    description:
      'Whose headers: `standard` (Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature), `github` (x-hub-signature-256) or `stripe` (stripe-signature).',
  }),
  secret: secret().meta({
    description: 'Secret that both sides know; of `standard` as it is handed out: `whsec_…`.',
    secret: true,
  }),
})

export const HttpClientConnection = z
  .strictObject({
    auth: auth.optional().meta({ description: 'Who we are to the servers of the targets.' }),
    sign: sign.optional().meta({ description: 'Signs each request, so that its receiver knows it is ours.' }),
    tls: clientTls().optional().meta({
      description: 'TLS for `https://`; left out, the system authorities are trusted. Read again when files change.',
    }),
    maxConcurrent: z.int().min(1).max(1_024).default(64).meta({
      description: 'Most requests under way, and most connections to one server. Of one key there is always one.',
    }),
    maxReplySize: size().prefault('1MiB').meta({ description: 'Largest answer that is read, where it is wanted.' }),
  })
  .meta({ title: 'Without `listen`: a client, for targets with `url`' })
export type HttpClientConnection = z.output<typeof HttpClientConnection>

/** The gateway gives a `send` 60 s; a token and a second try are within it. */
const mostMs = 45_000

const batch = z.strictObject({
  mode: z.enum(['json', 'cloudevents']).meta({
    description:
      '`json`: an array of the payloads; `cloudevents`: a batch of events, `application/cloudevents-batch+json`.',
  }),
  maxMessages: z.int().min(1).max(10_000).default(100).meta({
    description: 'Most messages of a request. It gathers what waits, and waits for none.',
  }),
})

export const HttpTarget = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .meta({
        description: 'Where to; values of a message are encoded, each stays in its part of the path.',
        examples: ['https://shop.example.com/orders/{payload.id}'],
      }),
    method: z.enum(['POST', 'PUT', 'PATCH', 'DELETE', 'GET']).default('POST').meta({
      description: 'Method; GET has no body.',
    }),
    headers: z
      .record(z.string(), z.string())
      .optional()
      .meta({ description: 'Headers beside those of the message; their texts may hold {expressions}.' }),
    query: z
      .record(z.string().min(1), z.string())
      .optional()
      .meta({ description: 'Parameters behind `?`; their texts may hold {expressions}.' }),
    key: z.string().optional().meta({
      description: "Messages of one key are sent one after the other (default: the envelope's key).",
    }),
    timeout: timeLimit()
      .refine((ms) => ms >= 1 && ms <= mostMs, { error: 'expected a time up to 45s' })
      .prefault('10s')
      .meta({ description: 'Time for the whole answer, connecting included.' }),
    hosts: z.enum(['fixed', 'public', 'any']).default('fixed').meta({
      description:
        '`fixed`: the host stands in `url`. Where a message chooses it: `public` connects to public addresses only, `any` to this network too.',
    }),
    answers: z.enum(['status', 'dapr']).default('status').meta({
      description: '`dapr`: an application of Dapr answers `{"status": "SUCCESS" | "RETRY" | "DROP"}`.',
    }),
    batch: batch.optional().meta({ description: 'Several messages in one request.' }),
  })
  .meta({ title: 'With `url`: requests, of a connection without `listen`' })
export type HttpTarget = z.output<typeof HttpTarget>

/** What the schema alone cannot see. */
export function clientProblems({ sign: signing }: HttpClientConnection): SettingsProblem[] {
  const message = signing && secretProblem(signing)
  return message === undefined ? [] : [{ path: ['sign', 'secret'], message }]
}

/** What is wrong with a target of such a connection. */
export function targetProblems(target: HttpTarget, { auth: credentials }: HttpClientConnection): SettingsProblem[] {
  const problems: SettingsProblem[] = []
  const add = (key: string, message: string) => problems.push({ path: [key], message })
  for (const name of Object.keys(target.headers ?? {})) {
    const message = headerNameProblem(name)
    if (message !== undefined) problems.push({ path: ['headers', name], message })
  }
  const isTemplated = hasTemplatedHost(target.url)
  if (isTemplated && target.hosts === 'fixed') {
    add('url', 'a message chooses the host: say `hosts: public`, which connects to public addresses only')
  }
  if (isTemplated && credentials !== undefined) {
    add('url', 'a message chooses the host, and `auth` of the connection would be shown to it')
  }
  if (target.method === 'GET' && target.batch !== undefined) add('batch', 'GET has no body')
  if (target.answers === 'dapr' && target.batch !== undefined) add('answers', 'Dapr delivers one message at a time')
  return problems
}
