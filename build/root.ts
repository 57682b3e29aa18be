import { join } from 'node:path'

/** Folder of package.json. */
export const root = join(import.meta.dirname, '..')
