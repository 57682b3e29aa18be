/** What a gateway's routes that expect replies share, and how each is put together. */
import type { Context, Deliver, Log, Source } from '../../adapter/contract.ts'
import type { AnyProtocol } from '../../adapter/protocol.ts'
import type { ConnectionConfig, RouteConfig, TargetConfig } from '../../config/schema/types.ts'
import { compileAggregate, compileReply } from '../../routing/reply.ts'
import { type CompiledRoute, compileTarget, scopeOf } from '../../routing/router.ts'
import type { LinkStats, RouteStats } from '../../telemetry/stats.ts'
import type { DeadLetterOffice } from '../dead-letters/office.ts'
import type { Dispatcher } from '../dispatcher.ts'
import type { Reader } from '../intake.ts'
import type { Outlet } from '../outlet.ts'
import { AnsweredCustody } from './answered-custody.ts'
import { type AnswerRoad, Asker } from './asker.ts'
import { AskingRoute } from './asking-route.ts'
import type { HeardReply } from './conversation.ts'
import { type Gathering, Single } from './gathering.ts'
import { ReplyLink } from './reply-link.ts'
import { heardReply, ReplyReader, type Switchboard } from './reply-reader.ts'
import { Scatter } from './scatter.ts'
import { Tokens } from './tokens.ts'

/** A connection through which replies come: the gateway keeps it open. */
export interface ReplyChannel {
  readonly connection: string
  readonly protocol: string
  readonly link: ReplyLink
  create(context: Context): Source
}

export interface ExchangeParts {
  readonly gatewayId: string
  readonly protocolOf: (name: string) => AnyProtocol
  readonly connectionOf: (name: string) => ConnectionConfig
  /** Sends through a connection. */
  readonly dispatcherOf: (end: Pick<TargetConfig, 'connection' | 'protocol'>) => Dispatcher
  readonly log: Log
}

/** What a route is made of, whichever custody it has. */
interface RouteParts {
  readonly compiled: CompiledRoute
  readonly stats: RouteStats
  readonly outlets: readonly Outlet[]
  readonly deadLetters: DeadLetterOffice
}

export class Exchange implements Switchboard {
  /** By connection: where the replies to what it is asked are heard. */
  readonly channels = new Map<string, ReplyChannel>()
  /** Where routes say themselves where replies come. */
  readonly readers: ReplyReader[] = []
  readonly #parts: ExchangeParts
  readonly #tokens = new Tokens()
  readonly #custodies: AnsweredCustody[] = []
  /** By link: the routes whose replies come there. */
  readonly #custodiesOf = new Map<ReplyLink, AnsweredCustody[]>()

  constructor(parts: ExchangeParts) {
    this.#parts = parts
  }

  /** A route with `request` or `scatter`. */
  route(parts: RouteParts): AskingRoute {
    return new AskingRoute({ ...parts, custody: this.#custody(parts), gatewayId: this.#parts.gatewayId })
  }

  /** The links of those readers of one source that read replies. */
  linksIn(readers: readonly Reader[]): readonly ReplyLink[] {
    return this.readers.filter((reader) => readers.includes(reader)).map(({ link }) => link)
  }

  #custody(parts: RouteParts): AnsweredCustody {
    const { compiled, stats } = parts
    const { route } = compiled
    const links = route.to.map((target) => this.#linkOf(route, target))
    const custody = new AnsweredCustody({
      ...parts,
      exchange: stats.exchange!,
      asker: this.#askerOf(route),
      gathering: this.#gatheringOf(route),
      log: this.#parts.log,
      links,
      tokens: this.#tokens,
      number: this.#custodies.length,
    })
    this.#custodies.push(custody)
    for (const link of new Set(links)) {
      if (link !== undefined) this.#custodiesOf.set(link, [...(this.#custodiesOf.get(link) ?? []), custody])
    }
    return custody
  }

  /** What one channel feeds. */
  intake(link: ReplyLink, stats: LinkStats): Deliver {
    return (batch) => {
      const at = Date.now()
      for (const delivery of batch) {
        stats.received += 1
        this.heard(delivery.envelope.correlationId, heardReply(delivery, { params: {}, at, link: stats }), link)
      }
    }
  }

  heard(token: string | undefined, reply: HeardReply, link: ReplyLink): void {
    const addressee = this.#tokens.read(token)
    const custodies = this.#custodiesOf.get(link) ?? []
    const custody = typeof addressee === 'object' ? this.#custodies[addressee.route] : undefined
    if (typeof addressee === 'object' && custody !== undefined && custodies.includes(custody)) {
      custody.replied(addressee.request, addressee.branch, { reply, link })
    } else if (addressee !== undefined && link.isShared) {
      reply.settle('accept') // others hear it too, and one of them waits for it
    } else custodies[0]?.repliedToNone(reply)
  }

  /** Resolves when all askers have been told that no reply will come. */
  async stop(): Promise<void> {
    await Promise.all(this.#custodies.map((custody) => custody.stop()))
  }

  #gatheringOf(route: RouteConfig): Gathering {
    const { gatewayId, protocolOf } = this.#parts
    const { scatter: settings, timeoutMs = 0 } = route.request ?? {}
    if (settings === undefined) return new Single(compileReply(route, protocolOf), timeoutMs)
    return new Scatter({ settings, timeoutMs, gatewayId, aggregate: compileAggregate(route, protocolOf) })
  }

  #linkOf(route: RouteConfig, target: TargetConfig): ReplyLink | undefined {
    if (route.request?.reply.from !== undefined) return this.#readerOf(route, route.request.reply.from)
    const { replies } = this.#parts.protocolOf(target.protocol)
    return replies === undefined ? undefined : this.#channelOf(target.connection, target.protocol, replies).link
  }

  #readerOf(route: RouteConfig, from: RouteConfig['from']): ReplyLink {
    const link = new ReplyLink({ isShared: true })
    const reply = compileReply(route, this.#parts.protocolOf)
    this.readers.push(new ReplyReader({ compiled: readerRoute(route, from), link, reply, switchboard: this }))
    return link
  }

  #channelOf(connection: string, protocol: string, replies: NonNullable<AnyProtocol['replies']>): ReplyChannel {
    const known = this.channels.get(connection)
    if (known !== undefined) return known
    const { settings } = this.#parts.connectionOf(connection)
    const place = { gatewayId: this.#parts.gatewayId, instance: this.#tokens.instance }
    const link = new ReplyLink({ address: replies.address(settings, place), isShared: replies.isShared === true })
    const create = (context: Context) => replies.create(settings, context, place)
    const channel = { connection, protocol, link, create }
    this.channels.set(connection, channel)
    return channel
  }

  #askerOf(route: RouteConfig): Asker {
    const { name, retry } = route
    return new Asker({ route: name, retry, road: this.#roadOf(route), gatewayId: this.#parts.gatewayId })
  }

  /** Undefined where answers go back on the way that requests come. */
  #roadOf(route: RouteConfig): AnswerRoad | undefined {
    const { dispatcherOf, protocolOf, connectionOf } = this.#parts
    const to = route.request?.to
    if (to !== undefined) {
      const compiled = compileTarget(to, scopeOf(route, protocolOf), protocolOf)
      return { dispatcher: dispatcherOf(to), to: compiled, replyTo: () => undefined }
    }
    const replyTo = protocolOf(route.from.protocol).source?.asks?.replyTo
    if (replyTo === undefined) return undefined
    const { settings } = connectionOf(route.from.connection)
    const dispatcher = dispatcherOf(route.from)
    return { dispatcher, to: undefined, replyTo: (request) => replyTo(request, settings) }
  }
}

/** A route that reads replies, as far as a source is concerned. */
function readerRoute({ name, retry }: RouteConfig, from: RouteConfig['from']): CompiledRoute {
  const route: RouteConfig = {
    ...{ name: `replies of ${name}`, from, filter: [], when: undefined, set: new Map(), match: 'all', order: 'none' },
    ...{ to: [], acknowledge: 'answered', deduplicate: undefined, retry, deadLetter: undefined },
  }
  return { route, misses: { count: 0 }, decide: () => ({ kind: 'filtered', reason: 'no_target' }) }
}
