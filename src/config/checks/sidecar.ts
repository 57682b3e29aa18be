/** `gateway.sidecar` and the connections it names. */
import { nearestName } from '../../routing/nearest.ts'
import { publishProblem, requestProblem } from '../../sidecar/offer.ts'
import type { Path } from '../report/diagnostic.ts'
import { describePlace } from '../report/where.ts'
import type { LinkedScene } from '../schema/scene.ts'
import type { ConnectionConfig, SidecarSettings } from '../schema/types.ts'

const kinds = { publish: publishProblem, request: requestProblem } as const

export function checkSidecar(scene: LinkedScene, settings: SidecarSettings): void {
  for (const kind of ['publish', 'request'] as const) {
    for (const [index, name] of (settings[kind] ?? []).entries()) {
      checkOffer(scene, ['gateway', 'sidecar', kind, index], { kind, name })
    }
  }
}

/** True where applications reach it, be it by no route. */
export function isOffered(scene: LinkedScene, sidecar: SidecarSettings | undefined, name: string): boolean {
  if (sidecar === undefined) return false
  const connection = scene.connections.valid.get(name)
  if (sidecar.request.includes(name) || connection === undefined) return true
  return sidecar.publish?.includes(name) ?? publishProblem(connection, protocolsOf(scene)) === undefined
}

function checkOffer(scene: LinkedScene, path: Path, { kind, name }: { kind: keyof typeof kinds; name: string }): void {
  const { report, root, connections } = scene
  if (!connections.names.includes(name)) {
    const details = { suggestion: nearestName(name, connections.names), allowed: connections.names }
    return report.add('TRV2007', `unknown connection \`${name}\``, { path, on: 'value' }, details)
  }
  const connection: ConnectionConfig | undefined = connections.valid.get(name)
  const problem = connection && kinds[kind](connection, protocolsOf(scene))
  if (problem === undefined) return
  const code = kind === 'publish' ? 'TRV2011' : 'TRV2016'
  report.add(code, `${describePlace(path, root)}: \`${name}\` cannot be used here: ${problem}`, { path, on: 'value' })
}

const protocolsOf = ({ protocols }: LinkedScene) => [...protocols.values()]
