import type { Scene } from '../checks/scene.ts'
import { storeSection } from './schema.ts'
import type { StoreSettings } from './types.ts'

/** Reads `store`. */
export function readStore({ report, root }: Scene): StoreSettings | undefined {
  const section = report.parse(storeSection, root.store ?? {}, { path: ['store'], root })
  if (section === undefined) return undefined
  const { maxBytes, maxAge: maxAgeMs, onFull, deadLetters } = section
  const { maxAge, ...limit } = deadLetters
  return { maxBytes, maxAgeMs, onFull, deadLetters: { ...limit, maxAgeMs: maxAge } }
}
