import type { Connections, Scene } from './scene.ts'
import { isFile, schemasAt } from './schema-walk.ts'
import { whyUnreadable } from './unreadable.ts'
import { describeValue, valueAt } from './where.ts'

/**
 * Files that settings name, such as certificates: one that cannot be read is told here, with its place, and not by a
 * connection that never opens. `readFile` finds relative names where the gateway will: in the directory it is started in.
 */
export function checkFiles(scene: Scene, connections: Connections, readFile: (path: string) => unknown): void {
  const { document, report, root } = scene
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

function problemOf(path: string, readFile: (path: string) => unknown): string | undefined {
  try {
    readFile(path)
    return undefined
  } catch (error) {
    return whyUnreadable(error)
  }
}
