/** The configuration after loading: checked, variables filled in, defaults in place. */
import type { AnyProtocol } from '../../adapter/protocol.ts'
import type { Format } from '../../envelope/envelope.ts'

export interface GatewayConfig {
  readonly gateway: GatewaySettings
  readonly store: StoreSettings
  readonly connections: ReadonlyMap<string, ConnectionConfig>
  readonly routes: readonly RouteConfig[]
  /** Those that connections may name: the built-in ones, and those of `gateway.protocols`. */
  readonly protocols: readonly AnyProtocol[]
}

export interface GatewaySettings {
  /** Names this gateway in hops, client ids and logs. */
  readonly id: string
  readonly dataDir: string
  readonly admin: { readonly host: string; readonly port: number; readonly token: string | undefined } | undefined
  readonly sidecar?: SidecarSettings | undefined
  /** Budget of the process: messages and bytes taken in and not yet settled. */
  readonly maxInFlight: number
  readonly maxInFlightBytes: number
  /** Longest time from SIGTERM to the end, in milliseconds. */
  readonly drainMs: number
  /** Lines for the log once the gateway runs. */
  readonly notes: readonly string[]
}

/** The API for applications beside the gateway. */
export interface SidecarSettings {
  /** `http://127.0.0.1:7071`. */
  readonly listen: string
  /** undefined: whoever reaches it may use it. */
  readonly token: string | undefined
  /** Connections that can be published to; undefined: all that can be. */
  readonly publish: readonly string[] | undefined
  /** Connections that can be asked. */
  readonly request: readonly string[]
}

/** Of the store in the data directory. */
export interface StoreSettings {
  /** Most bytes of waiting messages; at this mark `onFull` decides. */
  readonly maxBytes: number
  /** A message that waits longer becomes a dead letter, `expired`; undefined: it waits for ever. */
  readonly maxAgeMs: number | undefined
  /** `wait`: sources are held back. `deadLetterOldest`: the oldest messages make room. */
  readonly onFull: 'wait' | 'deadLetterOldest'
  readonly deadLetters: DeadLetterSettings
}

/** Of the dead letters in the store. */
export interface DeadLetterSettings {
  /** Most bytes; at this mark `onFull` decides. */
  readonly maxBytes: number
  /** A letter that is older is deleted; undefined: it stays until somebody decides. */
  readonly maxAgeMs: number | undefined
  /** `wait`: what fails stays where it came from. `dropOldest`: the oldest letters are deleted. */
  readonly onFull: 'wait' | 'dropOldest'
}

export interface ConnectionConfig {
  readonly name: string
  readonly protocol: string
  readonly format: Format | undefined
  /** The protocol's own settings, the value of its `connection` schema. */
  readonly settings: unknown
}

export interface RouteConfig {
  readonly name: string
  readonly from: {
    readonly connection: string
    readonly protocol: string
    readonly format: Format | undefined
    /** The value of the protocol's `source.schema`. */
    readonly settings: unknown
  }
  /** Any clause lets a message pass; empty: all pass. */
  readonly filter: readonly FilterClause[]
  readonly when: string | undefined
  /** Path -> expression, in the order of the file. */
  readonly set: ReadonlyMap<string, string>
  readonly match: 'all' | 'first'
  readonly order: 'key' | 'none'
  readonly to: readonly TargetConfig[]
  /** When the source is told: after the store's fsync, after every target confirmed, or once its asker has the answer. */
  readonly acknowledge: 'stored' | 'delivered' | 'answered'
  /** A reply is expected; `answered` and no other. */
  readonly request?: RequestSettings | undefined
  /** What was seen already is not sent again; undefined: nobody looks. Only with `stored`. */
  readonly deduplicate: DeduplicateSettings | undefined
  readonly retry: { readonly attempts: number; readonly delayMs: number; readonly maxDelayMs: number }
  /** undefined: the gateway's own dead letters. */
  readonly deadLetter: TargetConfig | undefined
}

/** `request`, and `scatter` too: a request is a scatter of one branch. */
export interface RequestSettings {
  readonly timeoutMs: number
  /** Requests that wait for replies before the next have to wait, or are turned away. */
  readonly maxOutstanding: number
  /** What becomes of a reply that nobody waits for. */
  readonly late: 'deadLetter' | 'drop'
  /** Where answers go; undefined: back to whoever asked. */
  readonly to: TargetConfig | undefined
  readonly reply: ReplySettings
  /** Of several targets: whose replies count. */
  readonly scatter: ScatterSettings | undefined
}

export interface ReplySettings {
  /** Where replies are read; undefined: as the target's protocol has it. */
  readonly from: RouteConfig['from'] | undefined
  /** Expression over a reply that is read there: the id of its request. */
  readonly correlation: string
  /** Path -> expression: what a reply is changed to. */
  readonly set: ReadonlyMap<string, string>
}

export interface ScatterSettings {
  /** When the answer is made: with all replies, with the first good one, with those of more than half, or with so many good ones. */
  readonly complete: 'all' | 'first' | 'quorum' | number
  /** With fewer good replies the answer is an error. */
  readonly minimum: number
  /** Expression over `results`; undefined: the whole result. */
  readonly aggregate: string | undefined
}

export interface DeduplicateSettings {
  readonly windowMs: number
  /** Expression whose value two copies share; undefined: their `messageId`. */
  readonly by: string | undefined
  /** Routes that name the same scope know what each other has seen; undefined: the route is alone. */
  readonly scope: string | undefined
}

export const filterOperators = [
  'equals',
  'not_equals',
  'contains',
  'starts_with',
  'greater_than',
  'less_than',
  'in',
  'exists',
  'matches_regex',
] as const
export type FilterOperator = (typeof filterOperators)[number]

export interface FilterClause {
  /** Path into the message: `payload.status`, `headers.priority`, `params.site`, `eventType`. */
  readonly field: string
  readonly operator: FilterOperator
  /** Absent for `exists`. */
  readonly value?: unknown
}

/** How many different destinations the messages of a target may have. */
export interface DestinationSettings {
  readonly count: number
  /** Milliseconds; a destination that was not used for so long does not count. */
  readonly withinMs: number
  /** What becomes of a message for one more: a dead letter, or it waits until there is room. */
  readonly onLimit: 'deadLetter' | 'wait'
}

export interface TargetConfig {
  readonly connection: string
  readonly protocol: string
  readonly when: string | undefined
  readonly format: Format | undefined
  /** Destinations a template may give; undefined: any behind its literal prefix. */
  readonly allow: readonly string[] | undefined
  /** undefined: what is usual, see `destinationLimitOf`. */
  readonly maxDestinations?: DestinationSettings | undefined
  /** The destination is that which the sender has named, `params.address`; nothing stands in `settings`. */
  readonly isAddressed?: true
  /** The value of the protocol's `sink.schema`; templates still in it. */
  readonly settings: unknown
}
