import type { Scene } from './scene.ts'
import { storeSection } from './schema.ts'
import type { StoreSettings } from './types.ts'

/** Reads `store`. */
export function readStore({ report, root }: Scene): StoreSettings | undefined {
  const section = report.parse(storeSection, root.store ?? {}, { path: ['store'], root })
  return section && { maxBytes: section.maxBytes, maxAgeMs: section.maxAge, onFull: section.onFull }
}
