import type { z } from 'zod'
import type { Path } from '../report/diagnostic.ts'
import { describeValue } from '../report/where.ts'
import { tokenProblem } from './admin-token.ts'
import type { Scene } from './scene.ts'
import type { gatewaySection } from './schema.ts'
import type { SidecarSettings } from './types.ts'

type Section = z.infer<typeof gatewaySection>['sidecar']

const path: Path = ['gateway', 'sidecar']

/** Reads `gateway.sidecar`; undefined: there is none. Reports a token that is missing or cannot be sent. */
export function sidecarOf(scene: Scene, section: Section): SidecarSettings | undefined {
  if (section === undefined) return undefined
  const { listen, token, insecure, publish, request } = section
  const isOpen = token === '' && insecure
  const problem = isOpen ? undefined : tokenProblem(token)
  if (token === '' && !insecure) refuseOpen(scene)
  else if (problem !== undefined) {
    const place = [...path, 'token']
    scene.report.add('TRV2005', `${describeValue(place, scene.root)}: ${problem}`, { path: place, on: 'value' })
  }
  return { listen: `http://${listen}`, token: isOpen ? undefined : token, publish, request }
}

function refuseOpen({ report }: Scene): void {
  const help = 'add `token: "${env:TRIVIUM_SIDECAR_TOKEN}"`, or `insecure: true`'
  report.add(
    'TRV2015',
    '`gateway.sidecar` has no token: every program that reaches it could publish',
    { path, on: 'key' },
    { help },
  )
}
