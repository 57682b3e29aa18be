/** Ways into the gateway that no file declares: its own paths on a listener of HTTP. What they mean is the gateway's (src/sidecar/). */
import type { Envelope } from '../envelope/envelope.ts'

/** What a listener serves for the gateway itself. */
export interface DoorSettings {
  /** `http://127.0.0.1:7071`. */
  readonly listen: string
  /** Shown by every request; undefined: it lets in whoever reaches it. */
  readonly token: string | undefined
}

/** One end of a request's path to the gateway: what a route reads there. */
export interface Door {
  /** Patterns of the paths, by POST. */
  readonly paths: readonly string[]
  /** Of doors with the same paths one reads a request with this query. */
  reads(query: URLSearchParams): boolean
  /** What a message goes on as. Throws PermanentError: the request is refused, 400, and nothing of it has been taken. */
  enter(envelope: Envelope, request: DoorRequest): Entrance
}

export interface DoorRequest {
  /** Decoded. */
  readonly path: string
  readonly query: URLSearchParams
  /** How many messages it brings. */
  readonly count: number
}

export interface Entrance {
  readonly envelope: Envelope
  /** See `Delivery.answerWithinMs`. */
  readonly answerWithinMs?: number | undefined
  /** Success is told by 204, without a body. */
  readonly isSilent?: boolean | undefined
}

/** Of a protocol whose listeners can serve the gateway: settings as the rest of the protocol knows them. */
export interface Doors<Connection = unknown, From = unknown> {
  connection(settings: DoorSettings): Connection
  from(door: Door): From
}
