/** What the schema of one user cannot see: how users, certificates and filters belong together. */
import type { SettingsProblem } from '../../../../src/adapter/protocol.ts'
import type { EmbeddedUser, MqttBrokerConnection } from '../config.ts'
import { anyName, namingProblem } from './placeholders.ts'

export function userProblems({ users, tls }: MqttBrokerConnection): SettingsProblem[] {
  const problems = users.flatMap((user, index) => problemsOf(user, ['users', index], tls?.identity !== undefined))
  if (tls?.identity !== undefined && tls.ca === undefined) {
    problems.push({
      path: ['tls', 'identity'],
      message: '`identity` needs `ca`, the authority of the client certificates',
    })
  }
  return problems
}

function problemsOf(user: EmbeddedUser, path: readonly (string | number)[], hasNames: boolean): SettingsProblem[] {
  const { username, password, publish = [], subscribe = [] } = user
  if (username === anyName) {
    const isRight = hasNames && password === undefined
    return isRight
      ? []
      : [
          {
            path: [...path, 'username'],
            message: '`*` stands for certificates: it needs `tls.identity` and no password',
          },
        ]
  }
  const problems: SettingsProblem[] = []
  if (password === undefined && !hasNames) {
    problems.push({ path, message: 'a user needs a `password`, unless certificates name the users (`tls.identity`)' })
  }
  const naming = namingProblem(username)
  if (naming !== undefined && [...publish, ...subscribe].some((filter) => filter.includes('{user}'))) {
    problems.push({
      path: [...path, 'username'],
      message: `the name ${naming}, and cannot stand for {user} in a filter`,
    })
  }
  return problems
}
