import type { AnyProtocol } from '../../adapter/protocol.ts'
import type { ConfigDocument } from '../read/document.ts'
import type { Path } from '../report/diagnostic.ts'
import type { Report } from '../report/report.ts'
import type { ConnectionConfig, RouteConfig } from './types.ts'

/** What every reader and check looks at. */
export interface Scene {
  /** The whole configuration as plain values, references filled in. */
  readonly root: Readonly<Record<string, unknown>>
  readonly document: ConfigDocument
  readonly report: Report
  readonly protocols: ReadonlyMap<string, AnyProtocol>
}

/** The same once the connections are known. */
export interface LinkedScene extends Scene {
  readonly connections: Connections
}

/** What is known of `connections`; one of them may be wrong and yet known by name. */
export interface Connections {
  /** Every name, in the order of the file. */
  readonly names: readonly string[]
  protocolOf(name: string): AnyProtocol | undefined
  /** Only those without a mistake. */
  readonly valid: ReadonlyMap<string, ConnectionConfig>
}

/** A route as far as it could be read; rules are checked even where its shape is wrong elsewhere. */
export interface RouteDraft {
  readonly path: Path
  readonly raw: Readonly<Record<string, unknown>>
  readonly fromProtocol: AnyProtocol | undefined
  /** Set when nothing of its `from` is wrong. */
  readonly from: RouteConfig['from'] | undefined
  readonly targets: readonly TargetDraft[]
  /** Where replies to its requests are read, where it says so. */
  readonly reply?: Pick<RouteDraft, 'path' | 'raw' | 'fromProtocol' | 'from'> | undefined
  /** Set when nothing of its shape is wrong. */
  readonly config: RouteConfig | undefined
}

export interface TargetDraft {
  readonly path: Path
  readonly raw: Readonly<Record<string, unknown>>
  readonly protocol: AnyProtocol | undefined
  readonly isDeadLetter: boolean
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
