/** What is wrong with a token of the admin interface, or undefined. Says nothing of what stands in it. */
export function tokenProblem(token: string): string | undefined {
  if (token === '') return 'must not be empty; omit the key if there is none'
  // it travels in a header, which carries nothing else and loses spaces at its ends
  if (!/^[\x20-\x7e]+$/.test(token)) return 'contains a character that an HTTP header cannot carry; use printable ASCII'
  return token.trim() === token ? undefined : 'starts or ends with a space, which an HTTP header drops'
}
