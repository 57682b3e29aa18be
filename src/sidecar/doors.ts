/** What the paths of the sidecar's API mean: docs/sidecar-api.md. */
import type { Door, DoorRequest, Entrance } from '../adapter/door.ts'
import { duration } from '../adapter/schema.ts'
import type { Envelope } from '../envelope/envelope.ts'
import { PermanentError } from '../errors.ts'
import { addressParam, targetAt } from '../routing/addressed.ts'
import type { Offer } from './offer.ts'

export const acknowledgements = ['stored', 'delivered'] as const
export type Acknowledge = (typeof acknowledgements)[number]

/** Milliseconds. */
export const usualTimeoutMs = 5_000
export const longestTimeoutMs = 300_000

const dapr = '/v1.0/publish'
const bases = { publish: ['/v1/publish', dapr], request: ['/v1/request'] } as const

export function publishDoor(offer: Offer, acknowledge: Acknowledge): Door {
  return doorOf(offer, 'publish', {
    reads: (query) => (query.get('acknowledge') === 'delivered') === (acknowledge === 'delivered'),
    enter(envelope, { path, query }) {
      const wanted = query.get('acknowledge') ?? 'stored'
      if (!isAcknowledge(wanted)) throw usage(`acknowledge: expected ${acknowledgements.join(' or ')}`)
      return path.startsWith(`${dapr}/`) ? publishedByDapr(envelope, query) : { envelope }
    },
  })
}

export function requestDoor(offer: Offer): Door {
  return doorOf(offer, 'request', {
    reads: () => true,
    enter(envelope, { query, count }) {
      if (count !== 1) throw usage('a request is one message, not a batch')
      return { envelope, answerWithinMs: timeoutOf(query.get('timeout')) }
    },
  })
}

/** Paths that go on, after the connection's name, with a destination that its protocol takes. */
function doorOf({ connection, protocol }: Offer, kind: keyof typeof bases, own: Pick<Door, 'reads' | 'enter'>): Door {
  const before = bases[kind].map((base) => `${base}/${connection.name}`)
  return {
    paths: before.map((text) => `${text}/{${addressParam}#}`),
    reads: own.reads,
    enter(envelope: Envelope, request: DoorRequest): Entrance {
      const { length } = before.find((text) => request.path.startsWith(`${text}/`)) ?? request.path
      targetAt(protocol, request.path.slice(length + 1))
      return own.enter(envelope, request)
    },
  }
}

/** https://docs.dapr.io/reference/api/pubsub_api/: what a message has besides is in `metadata`; what we do not know is let be, as there. */
function publishedByDapr(envelope: Envelope, query: URLSearchParams): Entrance {
  const secs = query.get('metadata.ttlInSeconds')
  const key = query.get('metadata.partitionKey') ?? envelope.key
  if (secs !== null && !/^[1-9]\d{0,8}$/.test(secs)) throw usage('metadata.ttlInSeconds: expected whole seconds')
  const ttlMs = secs === null ? envelope.ttlMs : Number(secs) * 1_000
  return { envelope: envelope.with({ key, ttlMs }), isSilent: true }
}

function timeoutOf(text: string | null): number {
  if (text === null) return usualTimeoutMs
  const { data: ms } = duration().safeParse(text)
  if (ms === undefined || ms < 1 || ms > longestTimeoutMs) throw usage('timeout: expected 1ms to 5m, such as 5s')
  return ms
}

const isAcknowledge = (text: string): text is Acknowledge => acknowledgements.some((each) => each === text)

const usage = (text: string) => new PermanentError('USAGE', text)
