import type { Outbound } from '../../src/adapter/contract.ts'
import type { AnyProtocol } from '../../src/adapter/protocol.ts'

/** A new, empty way through a broker. Settings are as in YAML; the schemas fill in the rest. */
export interface Way {
  readonly source: { readonly connection: object; readonly from: object }
  /** A client that produces what the source reads: of the same protocol, not always of the same connection. */
  readonly sink: { readonly connection: object; readonly target: object }
  /** Breaks the source's network and mends it; where absent, a kill is a `close` without settling. */
  sever?(): void
}

/** A protocol under test and what the suite must know of it. */
export interface Subject {
  readonly name: string
  readonly protocol: AnyProtocol
  makeWay(wish: { readonly maxInFlight: number }): Promise<Way>
  /** True where the sender's confirmation is the settlement itself, as with the embedded MQTT broker. */
  readonly confirmsOnSettle?: boolean
  /** True where the sender is told that its message became a dead letter, as with HTTP's 422. */
  readonly tellsRejected?: boolean
  /** Settings of a connection at which nobody answers; for protocols that are their own peer see `skip`. */
  readonly unreachable?: object
  /** Makes of an ordinary message one that the peer refuses for good; may prepare the peer for it. */
  readonly spoil: (outbound: Outbound) => Outbound
  /** Behaviours that do not apply, each with the reason. */
  readonly skip?: Readonly<Partial<Record<string, string>>>
}
