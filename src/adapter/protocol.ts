import type { z } from 'zod'
import type { Format } from '../envelope/envelope.ts'
import type { Context, Sink, Source } from './contract.ts'
import type { Asks, Replies } from './conversation.ts'
import type { Doors } from './door.ts'

/** One level of an address pattern, see src/routing/pattern.ts for the text form. */
export interface AddressPattern {
  /** The pattern's text as the user wrote it: `sensors/{site}/+`, `orders`, `telemetry.{site}`. */
  readonly text: string
  /** What parts levels: `/` for MQTT, `.` for Kafka and AMQP; undefined: the whole text is one literal. */
  readonly separator: '/' | '.' | undefined
  /** What matches exactly one level, and what matches all that remain; undefined where the protocol has none. */
  readonly one?: string
  readonly rest?: string
}

/**
 * How a template's values are made safe for one kind of destination. `encode` is applied to each value that comes from
 * a message, injectively and without ever giving an empty or special level; `check` judges the whole rendered text.
 */
export interface DestinationKind {
  readonly encode: (value: string) => string
  /**
   * What parts the destination's levels: a capture of several levels (`{name#}`) keeps its own, each level encoded by itself.
   * Undefined: it is one value like any other.
   */
  readonly separator?: '/' | '.'
  /** What is wrong with a rendered destination, or undefined. */
  readonly check: (text: string) => string | undefined
}

/** A problem a protocol sees in settings that its schema alone cannot; `path` leads to the key, from the object judged. */
export interface SettingsProblem {
  readonly path: readonly (string | number)[]
  readonly message: string
  readonly help?: string | undefined
  /** A word that is none of those allowed: the nearest is named. */
  readonly unknown?: { readonly written: string; readonly allowed: readonly string[] } | undefined
}

/**
 * Everything the gateway knows of a protocol. `Connection`, `From`, `Target` are the values of the schemas.
 * Text fields of `to` named in `destinations` or `plainTemplates` may hold `{expression}`s; of the latter also mappings of texts.
 */
export interface Protocol<Connection = unknown, From = unknown, Target = unknown> {
  readonly name: string
  /** One sentence for the docs. */
  readonly summary: string
  /** Settings of `connections.<name>`, without `protocol` and `format`, which every connection has. */
  readonly connection: z.ZodType<Connection>
  /** The format of a target that names none; a sink may still fall back by what its peer can carry. */
  readonly defaultFormat: Format
  readonly checkConnection?: (connection: Connection) => readonly SettingsProblem[]
  readonly source?: {
    /** Settings of `from`, without `connection`. */
    readonly schema: z.ZodType<From>
    readonly check?: (from: From, connection: Connection) => readonly SettingsProblem[]
    /** Addresses this `from` reads. */
    readonly patterns: (from: From) => readonly AddressPattern[]
    /** Pattern for captures from `Delivery.subject`, if the user gave one. */
    readonly subjectPattern?: (from: From) => AddressPattern | undefined
    /** Routes of a connection whose `from`s give the same text share one Source (one consumer, one session). */
    readonly group: (from: From, connection: Connection) => string
    /** One source for all `froms` of a group. */
    readonly create: (connection: Connection, froms: readonly From[], context: Context) => Source
    /** `delivered` where the broker keeps messages for us anyway, else `stored`. */
    readonly defaultAcknowledge: 'stored' | 'delivered'
    /** Absent: whoever sends here cannot ask, unless `request.to` says where the answer goes. */
    readonly asks?: Asks<Connection, From, Target>
    /** Present where it can serve the gateway's own paths. */
    readonly doors?: Doors<Connection, From>
  }
  readonly sink?: {
    /** Settings of one entry of `to`, without `connection, when, format, allow, maxDestinations`. Templates are plain strings here. */
    readonly schema: z.ZodType<Target>
    readonly check?: (target: Target, connection: Connection) => readonly SettingsProblem[]
    /** Template fields that choose the destination; they keep a literal prefix or name allowed values. */
    readonly destinations: Readonly<Record<string, DestinationKind>>
    /** Template fields without that risk, e.g. Kafka's `key`. */
    readonly plainTemplates: readonly string[]
    /** What stands behind `protocol://connection/` in logs, metrics and dead letters: `telemetry.berlin`. */
    readonly address: (target: Target) => string
    /** False where the sources of a connection never get what is sent through it; by default they do. */
    readonly isHeardBySources?: (connection: Connection) => boolean
    /**
     * What the broker keeps for a new destination, by its name: a topic, a queue, a retained message. Absent, or undefined
     * for a target: nothing, and there may be any number of them.
     */
    readonly lasting?: (target: Target) => string | undefined
    /** Settings of an ordinary client that reaches what this connection listens on, for `trivium publish`. */
    readonly outside?: (connection: Connection) => Connection
    /** True where a destination names the host too: those who only know a connection's name may not choose one. */
    readonly choosesHost?: boolean
    /** Makes the target's settings from the one destination text of `trivium publish`. */
    readonly targetOf: (destination: string, key: string | undefined) => Target
    readonly create: (connection: Connection, context: Context) => Sink<Target>
    /** True where targets of a connection answer on the spot: for an `Outbound.ask`, `delivered` brings the reply. */
    readonly answers?: (connection: Connection) => boolean
  }
  /** Where replies of its targets are heard. Absent: they can only answer on the spot, or where `request.reply` says. */
  readonly replies?: Replies<Connection>
}

/** Checks the parts against each other; the gateway's list holds protocols whose own types no longer matter. */
export function defineProtocol<Connection, From, Target>(
  protocol: Protocol<Connection, From, Target>,
): Protocol<Connection, From, Target> {
  return protocol
}

/** A protocol in the gateway's list: its schemas guard the values, so their types may be forgotten. */
// biome-ignore lint/suspicious/noExplicitAny: existential type; values only reach it through the protocol's own schemas
export type AnyProtocol = Protocol<any, any, any>
