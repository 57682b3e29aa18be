/**
 * The part of the contract for conversations: how a protocol takes a request, asks, and hears the reply. All of it is
 * optional; docs/adding-a-protocol.md says what each costs.
 *
 *   asker -> source -> route -> sink, with `Outbound.ask` -> replier
 *   asker <- `Delivery.answer`, or the sink to `Asks.replyTo` <- the exchange <- source of `Replies`, or `Outcome.reply` <- replier
 *
 * The exchange (src/delivery/answered/) matches replies and requests, keeps the timeouts, and settles. A protocol only
 * carries: it never waits for a reply, and never judges a token.
 */
import type { Envelope } from '../envelope/envelope.ts'
import type { Context, Source } from './contract.ts'

/** How the sender of a message asks; of `Protocol.source`. An empty object: it waits on the way that the message came, `Delivery.answer`. */
export interface Asks<Connection = unknown, From = unknown, Target = unknown> {
  /** Why those who send here cannot ask, e.g. as the protocol's version has no reply address; undefined: they can. */
  problem?(from: From, connection: Connection): string | undefined
  /** How long a sender waits for its answer at most, in milliseconds; undefined: as long as it takes. */
  waitsMs?(connection: Connection): number | undefined
  /**
   * Where the answer to a request goes, as settings of this protocol's own sink, through the same connection; undefined: the
   * request names no such place, and becomes a dead letter. The answer's envelope has the request's `correlationId`, untouched.
   * Throws PermanentError where the place that it names cannot be used: a dead letter too.
   */
  replyTo?(request: Envelope, connection: Connection): Target | undefined
}

/** Where this gateway hears replies; of `Protocol`, where its targets can reply at an address of their own. */
export interface Replies<Connection = unknown> {
  /** Why targets of this connection cannot reply, e.g. as the protocol's version has no reply address; undefined: they can. */
  problem?(connection: Connection): string | undefined
  /** What goes into `Ask.replyTo`. The same as long as the gateway runs, also over a lost connection. */
  address(connection: Connection, place: ReplyPlace): string
  /**
   * One for each connection that is asked: every message is a reply, and its `correlationId` the token that the replier has
   * brought back. The gateway keeps it connected, and asks only while it is open: `open` resolves when a reply sent from then
   * on is heard. A reply is settled when the asker has it, or it is dead-lettered or counted; one that comes twice does no harm.
   */
  create(connection: Connection, context: Context, place: ReplyPlace): Source
  /** True where each gateway hears the replies to all: what names another instance is left alone. */
  readonly isShared?: boolean
}

export interface ReplyPlace {
  readonly gatewayId: string
  /** Of this start of the gateway: 24 hexadecimal digits, random. Every token begins with it. */
  readonly instance: string
}
