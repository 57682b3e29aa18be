import { isLoopback } from '../../../src/adapter/loopback.ts'
import type { SettingsProblem } from '../../../src/adapter/protocol.ts'
import { type HttpListenerConnection, type ListenAddress, listenAddresses } from './config.ts'

/** What the schema alone cannot see. */
export function listenerProblems(connection: HttpListenerConnection): SettingsProblem[] {
  const problems: SettingsProblem[] = []
  const addresses = listenAddresses(connection)
  if (connection.tls === undefined && addresses.some(({ scheme }) => scheme === 'https')) {
    problems.push({ path: ['tls'], message: 'a listener with https:// needs `tls` with `cert` and `key`' })
  }
  const open = addresses.find((address) => !isLoopback(address.host) && !isGuarded(connection, address))
  if (open !== undefined && !connection.insecure) {
    problems.push({
      path: ['listen'],
      message: `${open.text} lets anybody send: add \`auth\` or client certificates (\`tls.ca\`), or say \`insecure: true\``,
    })
  }
  return problems
}

function isGuarded({ auth, tls }: HttpListenerConnection, { scheme }: ListenAddress): boolean {
  return auth !== undefined || (scheme === 'https' && tls?.ca !== undefined)
}
