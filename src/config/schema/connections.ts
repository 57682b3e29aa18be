import { z } from 'zod'
import type { AnyProtocol } from '../../adapter/protocol.ts'
import { nearestName } from '../../routing/nearest.ts'
import type { Path } from '../report/diagnostic.ts'
import { asMapping, parsePart, reportSettings } from './parts.ts'
import type { Connections, Scene } from './scene.ts'
import { connectionKeys, isName } from './schema.ts'
import type { ConnectionConfig } from './types.ts'

const connectionOwn = z.strictObject(connectionKeys)

/** Reads `connections`, each by the schema of the protocol it names. */
export function readConnections(scene: Scene): Connections {
  const raw =
    scene.root.connections === undefined ? {} : (asMapping(scene, ['connections'], scene.root.connections) ?? {})
  const protocols = new Map<string, AnyProtocol>()
  const valid = new Map<string, ConnectionConfig>()
  for (const [name, value] of Object.entries(raw)) {
    const { protocol, config } = readConnection(scene, name, value)
    if (protocol !== undefined) protocols.set(name, protocol)
    if (config !== undefined) valid.set(name, config)
  }
  return { names: Object.keys(raw), protocolOf: (name) => protocols.get(name), valid }
}

function readConnection(scene: Scene, name: string, value: unknown) {
  const path: Path = ['connections', name]
  checkName(scene, name)
  const raw = asMapping(scene, path, value)
  if (raw === undefined) return { protocol: undefined, config: undefined }
  const protocol = protocolOf(scene, path, raw.protocol)
  const { common, own } = parsePart(scene, path, raw, {
    common: connectionOwn,
    own: protocol?.connection,
    possible: isUnknown(scene, raw) ? [] : [...scene.protocols.values()].map((one) => one.connection),
  })
  if (protocol === undefined || own === undefined) return { protocol, config: undefined }
  if (!reportSettings(scene, path, protocol.checkConnection?.(own) ?? [])) return { protocol, config: undefined }
  if (common === undefined) return { protocol, config: undefined }
  return { protocol, config: { name, protocol: protocol.name, format: common.format, settings: own } }
}

/** Names a protocol that is not there: what else stands in it is that protocol's to judge. */
const isUnknown = ({ protocols }: Scene, { protocol }: Record<string, unknown>): boolean =>
  typeof protocol === 'string' && !protocols.has(protocol)

const ownHelp = 'for a protocol of your own, list its module under `gateway.protocols`'

function protocolOf({ report, protocols }: Scene, path: Path, written: unknown): AnyProtocol | undefined {
  if (typeof written !== 'string') return undefined // the schema says so
  const protocol = protocols.get(written)
  if (protocol !== undefined) return protocol
  const allowed = [...protocols.keys()]
  if (report.has('TRV1010')) return undefined // its module may be the one that cannot be loaded
  const suggestion = nearestName(written, allowed)
  const details = { suggestion, allowed, help: suggestion === undefined ? ownHelp : undefined }
  report.add('TRV2006', `unknown protocol \`${written}\``, { path: [...path, 'protocol'], on: 'value' }, details)
  return undefined
}

function checkName({ report }: Scene, name: string): void {
  if (isName(name)) return
  const message = `\`${name}\` is not a valid connection name`
  const help = 'use letters, digits, `.`, `_` and `-`, starting with a letter or digit'
  report.add('TRV2005', message, { path: ['connections', name], on: 'key' }, { help })
}
