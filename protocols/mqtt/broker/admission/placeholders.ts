/** `{user}` and `{client}` in what a user is granted, and the patterns of client ids. Pure. */

/** The user who stands for every name a certificate proves. */
export const anyName = '*'

export interface Names {
  readonly user: string
  readonly client: string
}

/** What is wrong with the braces of a granted filter (`{user}`, `{client}`) or of a client id pattern (`{user}`). */
export function placeholderProblem(text: string, known: readonly (keyof Names)[]): string | undefined {
  const names = known.map((name) => `{${name}}`)
  const rest = names.reduce((left, name) => left.replaceAll(name, ''), text)
  return /[{}]/.test(rest) ? `expected ${names.join(' or ')} between braces` : undefined
}

/**
 * Why a name may not stand in a filter, or undefined: one with a separator or a wildcard would grant what another owns
 * (CVE-2017-7650), and an empty one would make an empty level.
 */
export function namingProblem(name: string): string | undefined {
  if (name === '') return 'is empty'
  return /[/+#$\0]/.test(name) ? 'holds one of / + # $ or NUL' : undefined
}

export function fillIn(text: string, { user, client }: Names): string {
  return text.replaceAll(/\{(user|client)\}/g, (_all, name: keyof Names) => (name === 'user' ? user : client))
}

/** True where the client id fits: `*` is any text, also none, and `{user}` the user's name as it is. */
export function fitsClientId(pattern: string, user: string, clientId: string): boolean {
  const [first = '', ...rest] = pattern.split('*').map((part) => part.replaceAll('{user}', () => user))
  if (rest.length === 0) return clientId === first
  if (!clientId.startsWith(first)) return false
  const last = rest.pop() ?? ''
  let at = first.length
  for (const part of rest) {
    const found = clientId.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return clientId.length - last.length >= at && clientId.endsWith(last)
}
