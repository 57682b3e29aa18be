/** A client of our listener, as others have one: no more than the codec and Node's own. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { encode, type HttpMessage } from '../../../protocols/http/codec.ts'
import { http } from '../../../protocols/http/index.ts'
import {
  delivered,
  type Outbound,
  type Outcome,
  rejected,
  retryable,
  type Sink,
} from '../../../src/adapter/contract.ts'
import type { AnyProtocol } from '../../../src/adapter/protocol.ts'
import { type GatewayError, messageOf, PermanentError, RetryableError } from '../../../src/errors.ts'

const againMs = 50

interface Target {
  readonly url: string
}

class Sender implements Sink<Target> {
  readonly keepsOrder = false
  readonly maxConcurrentSends = 1
  readonly maxBatch = 100

  async open(): Promise<void> {}
  async close(): Promise<void> {}
  lost(): Promise<GatewayError> {
    return new Promise(() => {})
  }

  send(batch: readonly Outbound<Target>[]): Promise<readonly Outcome[]> {
    return Promise.all(batch.map((outbound) => sendOne(outbound)))
  }
}

/** Sends again what it is asked to send again, as any client would. */
async function sendOne(outbound: Outbound<Target>): Promise<Outcome> {
  try {
    for (;;) {
      const { status, text } = await post(outbound.target.url, encode(outbound))
      if (status < 300) return delivered
      if (status !== 429 && status < 500) return rejected(new PermanentError('MESSAGE_REFUSED', text))
      await setTimeout(againMs)
    }
  } catch (error) {
    return retryable(new RetryableError('PEER_LOST', messageOf(error)))
  }
}

/** With headers as they are: `fetch` would join those that are repeated. */
async function post(url: string, { headers, body }: HttpMessage): Promise<{ status: number; text: string }> {
  const { host } = new URL(url)
  const own = ['host', host, 'content-length', String(body.byteLength)]
  const outgoing = request(url, { method: 'POST', headers: [...own, ...headers] }).end(body)
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, text: Buffer.concat(await response.toArray()).toString() }
}

/** HTTP with that client as its sink. */
export const httpWithSender: AnyProtocol = {
  ...http,
  sink: {
    schema: z.strictObject({ url: z.string() }),
    destinations: {},
    plainTemplates: [],
    address: ({ url }: Target) => url,
    targetOf: (url: string) => ({ url }),
    create: () => new Sender(),
  },
}
