import { parse } from './parse.ts'
import type { Scene } from './scene.ts'
import { storeSection } from './schema.ts'
import type { StoreSettings } from './types.ts'

/** Reads `store`. */
export function readStore(scene: Scene): StoreSettings | undefined {
  const section = parse(scene, storeSection, scene.root.store ?? {}, { path: ['store'] })
  if (section === undefined) return undefined
  const { maxBytes, maxAge: maxAgeMs, onFull, deadLetters } = section
  const { maxAge, ...limit } = deadLetters
  return { maxBytes, maxAgeMs, onFull, deadLetters: { ...limit, maxAgeMs: maxAge } }
}
