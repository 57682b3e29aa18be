/** The types of `dist/`: of the declarations that the compiler writes, those that the library's own lead to. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './root.ts'

export function writeTypes(directory: string): void {
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const types = join(directory, 'types')
  execFileSync(process.execPath, [compiler, '-p', join(root, 'build/tsconfig.json'), '--outDir', types], {
    stdio: 'inherit',
  })
  const reached = reachedFrom(join(types, 'src/index.d.ts'))
  for (const name of readdirSync(types, { recursive: true, encoding: 'utf8' })) {
    const file = join(types, name)
    if (file.endsWith('.d.ts') && !reached.has(file)) rmSync(file)
  }
}

function reachedFrom(file: string, reached = new Set<string>()): ReadonlySet<string> {
  if (reached.has(file) || !existsSync(file)) return reached
  reached.add(file)
  const names = readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*["'](\.[^"']+)["']/g)
  for (const [, name = ''] of names) reachedFrom(join(dirname(file), name.replace(/\.[jt]s$/, '.d.ts')), reached)
  return reached
}
