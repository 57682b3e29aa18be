/** The configuration most tests of a gateway need: one route, from one place to another. */
import { unique } from '../names.ts'
import type { Place } from '../places/places.ts'
import { setKey } from './scenario.ts'

/** Connections and one route; `settings` are further lines of it. */
export const roadBetween = (
  source: Pick<Place, 'connection' | 'from'>,
  target: Pick<Place, 'connection' | 'to'>,
  ...settings: readonly string[]
): string => `
connections: { source: ${source.connection}, target: ${target.connection} }
routes:
  - name: road
    from: { connection: source, ${source.from} }
    ${setKey}
    to: [{ connection: target, ${target.to} }]
${settings.map((line) => `    ${line}`).join('\n')}
`

/** For a gateway of the test's own process. */
export const inProcess = (yaml: string): string => `gateway: { id: ${unique('t')}, drain: 5s, admin: false }\n${yaml}`
