/** `request` and `scatter` of a route: what it expects back, and whether its ends can take part in that. */
import { z } from 'zod'
import type { Path } from '../report/diagnostic.ts'
import {
  checkAsker,
  checkCompany,
  checkRepliers,
  checkTargets,
  type Kind,
  type RouteRead,
} from './conversation-checks.ts'
import { readFrom, readTarget, type TargetRead } from './ends.ts'
import { parse } from './parse.ts'
import { asMapping } from './parts.ts'
import type { LinkedScene, RouteDraft, Scene } from './scene.ts'
import { replyFromKeys, replyKeys, requestOwn, scatterOwn } from './schema.ts'
import type { ReplySettings, RequestSettings } from './types.ts'

export interface ConversationRead {
  readonly to: TargetRead | undefined
  readonly reply: RouteDraft['reply']
  /** Set when nothing of it is wrong. */
  readonly config: RequestSettings | undefined
}

/** Undefined where the route has neither. */
export function readConversation(scene: LinkedScene, route: Path, read: RouteRead): ConversationRead | undefined {
  const kinds = (['request', 'scatter'] as const).filter((kind) => read.raw[kind] !== undefined)
  checkCompany(scene, route, { raw: read.raw, kinds })
  const [kind] = kinds
  if (kind === undefined) return undefined
  const path = [...route, kind]
  const { to: rawTo, reply: rawReply, ...rest } = asMapping(scene, path, read.raw[kind]) ?? {}
  const own = readOwn(scene, path, { kind, rest })
  const to = rawTo === undefined ? undefined : readAnswerTo(scene, [...path, 'to'], { rawTo, from: read.raw.from })
  const reply = rawReply === undefined ? undefined : readReply(scene, path, { kind, rawReply })
  checkTargets(scene, route, { kind, own, read })
  if (to === undefined) checkAsker(scene, route, { source: read.source, place: [...path, 'timeout'], own })
  if (reply?.draft === undefined) checkRepliers(scene, route, read.targets)
  const isRight = own !== undefined && (!to || to.config) && (!rawReply || reply?.config)
  const config = isRight
    ? { ...own, to: to?.config, reply: reply?.config ?? { from: undefined, correlation: '', set: new Map() } }
    : undefined
  return { to, reply: reply?.draft, config }
}

/** What a conversation has of its own, by name. */
function readOwn(scene: Scene, path: Path, { kind, rest }: { kind: Kind; rest: Record<string, unknown> }) {
  const siblings = kind === 'request' ? ['to', 'reply'] : ['to']
  const schema = kind === 'request' ? requestOwn : scatterOwn
  const own: (Partial<z.infer<typeof scatterOwn>> & z.infer<typeof requestOwn>) | undefined = parse(
    scene,
    schema,
    rest,
    {
      path,
      siblings,
    },
  )
  if (own === undefined) return undefined
  const { timeout: timeoutMs, maxOutstanding, late, complete = 'all', minimum = 1, aggregate } = own
  const scatter = kind === 'scatter' ? { complete, minimum, aggregate } : undefined
  return { timeoutMs, maxOutstanding, late, scatter }
}

/** The connection is that of `from` where it names none. */
function readAnswerTo(scene: LinkedScene, path: Path, { rawTo, from }: { rawTo: unknown; from: unknown }): TargetRead {
  const raw = asMapping(scene, path, rawTo)
  const connection = (from as { connection?: unknown } | undefined)?.connection
  return readTarget(scene, path, raw === undefined ? {} : { connection, ...raw })
}

interface ReplyRead {
  readonly draft: RouteDraft['reply']
  readonly config: ReplySettings | undefined
}

function readReply(
  scene: LinkedScene,
  path: Path,
  { kind, rawReply }: { kind: Kind; rawReply: unknown },
): ReplyRead | undefined {
  const place = [...path, 'reply']
  if (kind === 'scatter') {
    const help = 'targets of a scatter reply in the way of their own protocols'
    scene.report.add('TRV2001', 'unknown key `reply` in `scatter`', { path: place, on: 'key' }, { help })
    return undefined
  }
  const raw = asMapping(scene, place, rawReply)
  if (raw === undefined) return undefined
  if (raw.connection === undefined) return readChanges(scene, place, raw)
  const { set, correlation, ...rawFrom } = raw
  const own = parse(scene, z.strictObject(replyFromKeys), withoutAbsent({ set, correlation }), { path: place })
  const { protocol, config: from } = readFrom(scene, place, rawFrom) ?? { protocol: undefined, config: undefined }
  const draft = { path: place, raw: { ...raw, from: rawFrom }, fromProtocol: protocol, from }
  if (own === undefined || from === undefined) return { draft, config: undefined }
  return { draft, config: { from, correlation: own.correlation, set: new Map(Object.entries(own.set)) } }
}

/** A reply that comes in its protocol's own way, and is only changed. */
function readChanges(scene: Scene, path: Path, raw: Record<string, unknown>): ReplyRead {
  const own = parse(scene, z.strictObject(replyKeys), raw, { path, siblings: ['connection', 'correlation'] })
  return {
    draft: undefined,
    config: own && { from: undefined, correlation: '', set: new Map(Object.entries(own.set)) },
  }
}

const withoutAbsent = (values: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
