import { isLoopback } from '../../../src/adapter/loopback.ts'
import type { SettingsProblem } from '../../../src/adapter/protocol.ts'
import { userProblems } from './admission/user-problems.ts'
import { listenAddresses, type MqttBrokerConnection } from './config.ts'

/** What the schema alone cannot see. */
export function brokerProblems(connection: MqttBrokerConnection): SettingsProblem[] {
  const problems: SettingsProblem[] = []
  const { tls } = connection
  const addresses = listenAddresses(connection)
  const encrypted = addresses.some(({ scheme }) => scheme === 'mqtts' || scheme === 'wss')
  if (encrypted && (tls?.cert === undefined || tls.key === undefined)) {
    problems.push({ path: ['tls'], message: 'a listener with mqtts:// or wss:// needs `tls` with `cert` and `key`' })
  }
  if (tls?.serverName !== undefined) {
    problems.push({ path: ['tls', 'serverName'], message: '`serverName` belongs to a connection with `url`' })
  }
  problems.push(...userProblems(connection))
  const open = addresses.find((address) => !isLoopback(address.host) && !isGuarded(connection, address.scheme))
  if (open !== undefined && !connection.insecure) {
    problems.push({
      path: ['listen'],
      message: `${open.text} lets anyone in: add \`users\` or client certificates (\`tls.ca\`), or set \`insecure: true\``,
    })
  }
  return problems
}

function isGuarded({ users, tls }: MqttBrokerConnection, scheme: string): boolean {
  if (users.length > 0) return true
  return (scheme === 'mqtts' || scheme === 'wss') && tls?.ca !== undefined
}
