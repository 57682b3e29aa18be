import { statSync } from 'node:fs'
import type { Path } from '../report/diagnostic.ts'
import { whyUnreadable } from '../report/unreadable.ts'
import { describeValue, valueAt } from '../report/where.ts'
import type { LinkedScene, Scene } from '../schema/scene.ts'
import { gatewaySection } from '../schema/schema.ts'
import { isAddress, isFile, isPrivateFile, isSecret, schemasAt } from '../schema/schema-walk.ts'

/**
 * Files that settings name, such as certificates: one that cannot be read is told here, with its place, and not by a
 * connection that never opens. `readFile` finds relative names where the gateway will: in the directory it is started in.
 */
export function checkFiles(scene: LinkedScene, readFile: (path: string) => unknown): void {
  const { connections, document, report, root } = scene
  for (const name of connections.names) {
    const schema = connections.protocolOf(name)?.connection
    if (schema === undefined) continue
    for (const { path } of document.texts(['connections', name])) {
      const value = valueAt(root, path)
      if (typeof value !== 'string' || !schemasAt(schema, path.slice(2)).some(isFile)) continue
      const why = problemOf(value, readFile)
      const message = `${describeValue(path, root)}: file \`${value}\` cannot be read: ${why}`
      if (why !== undefined) report.add('TRV1007', message, { path, on: 'value' })
    }
  }
}

/** Warns of files with secrets that every user of the machine can read; `${file:…}` is looked for where `placeOf` says. */
export function checkExposure(scene: LinkedScene, placeOf: (path: string) => string): void {
  if (process.platform === 'win32') return
  for (const { path, written } of scene.document.texts()) {
    const base = path[0] === 'connections' ? 2 : 1
    const known = base === 2 ? scene.connections.protocolOf(String(path[1]))?.connection : undefined
    const schema = path[0] === 'gateway' ? gatewaySection : known
    const schemas = schema === undefined ? [] : schemasAt(schema, path.slice(base))
    const value = String(valueAt(scene.root, path))
    if (schemas.some(isPrivateFile)) warnOfExposed(scene, path, value)
    const isSecretHere = schemas.some(isSecret) || (schemas.some(isAddress) && value.includes('@'))
    const named = isSecretHere ? written.matchAll(/\$\{file:([^}]*)\}/g) : []
    for (const [, file = ''] of named) warnOfExposed(scene, path, placeOf(file))
  }
}

/** What an engine of containers puts under /run/secrets is for all inside one container, and for nobody else. */
function warnOfExposed({ report, root }: Scene, path: Path, file: string): void {
  if (file.startsWith('/run/secrets/')) return
  if ((modeOf(file) & 0o004) === 0) return
  const message = `${describeValue(path, root)}: file \`${file}\` can be read by every user of this machine`
  report.add('TRV4006', message, { path, on: 'value' }, { help: `chmod 600 ${file}` })
}

/** 0 for what is no file or cannot be looked at: that is told elsewhere. */
function modeOf(file: string): number {
  try {
    const found = statSync(file)
    return found.isFile() ? found.mode : 0
  } catch {
    return 0
  }
}

function problemOf(path: string, readFile: (path: string) => unknown): string | undefined {
  try {
    readFile(path)
    return undefined
  } catch (error) {
    return whyUnreadable(error)
  }
}
