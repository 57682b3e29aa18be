import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import type { GatewaySettings } from '../config/schema/types.ts'

/** Which gateway it is. Many are called `trivium`, but a data directory has one gateway only. */
export interface GatewayIdentity {
  readonly id: string
  /** Absolute, with links followed. */
  readonly dataDir: string
}

export function identityOf({ id, dataDir }: Pick<GatewaySettings, 'id' | 'dataDir'>): GatewayIdentity {
  return { id, dataDir: realPath(resolve(dataDir)) }
}

export function isSameGateway(a: GatewayIdentity, b: GatewayIdentity): boolean {
  return a.id === b.id && a.dataDir === b.dataDir
}

/** As it stands where it is not there yet. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}
