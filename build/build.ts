/** `npm run build`: makes `dist/`, which the package and the image run. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeBundle } from './bundle.ts'
import { writeLicences } from './licences.ts'
import { root } from './root.ts'
import { writeTypes } from './types.ts'

const directory = join(root, 'dist')
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
/** What is installed with the package stays outside; zod is installed for its types only. */
const external = Object.keys(dependencies).filter((name) => name !== 'zod')

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
}

rmSync(directory, { recursive: true, force: true })
const modules = await writeBundle(directory, external)
writeLicences(directory, modules)
writeTypes(directory)
