/** Roads into a broker that is about to suffer, and out of it, with stable ends. */
import { freePort } from '../ports.ts'
import type { LoadSinkName } from './load-sinks.ts'
import { Rig, type RigOptions, type RoadPlan, type RoadVerdict } from './rig.ts'
import { tableOf } from './table.ts'

/** How the gateway finds out about a silent peer within a few seconds. */
export const impatient: Record<LoadSinkName, string> = {
  mqtt: 'keepalive: 4s',
  amqp: 'heartbeat: 3s',
  kafka: 'requestTimeout: 4s, connectTimeout: 2s',
}

export interface Shaky {
  readonly protocol: LoadSinkName
  /** For clients of the test. */
  readonly address: string
  /** For the gateway, where it differs. */
  readonly port?: number
}

const stableFor: Record<LoadSinkName, LoadSinkName> = { mqtt: 'kafka', kafka: 'amqp', amqp: 'mqtt' }

/** Devices into the shaky broker, and the shaky broker into a stable one. */
export async function shakyRig({ protocol, address, port }: Shaky, options: RigOptions = {}): Promise<Rig> {
  const at = { address, settings: impatient[protocol], ...(port === undefined ? {} : { port }) }
  const devices = { address: `mqtt://127.0.0.1:${await freePort()}` }
  const roads: RoadPlan[] = [
    { from: 'embedded', to: [protocol], feed: devices, outletOf: { [protocol]: at }, perSecond: 200 },
    { from: protocol, to: [stableFor[protocol]], feed: at, perSecond: 200 },
  ]
  return await Rig.build(roads, options)
}

/** Rows for the log, with what was wrong. */
export function verdictText(title: string, verdicts: readonly RoadVerdict[]): string {
  const rows = verdicts.map(({ defects, examples: _, ...verdict }) => ({
    ...verdict,
    defects: defects.join('; ') || '-',
  }))
  return `${title}\n${tableOf(rows)}\n`
}
