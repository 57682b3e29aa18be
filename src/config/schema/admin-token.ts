/** What is wrong with a token of the admin interface, or undefined. Says nothing of what stands in it. */
export function tokenProblem(token: string): string | undefined {
  if (token === '') return 'must not be empty; leave the key out where there is none'
  // it travels in a header, which carries nothing else and loses spaces at its ends
  if (!/^[\x20-\x7e]+$/.test(token))
    return 'has a character that no header can carry: use letters, digits and signs of ASCII'
  return token.trim() === token ? undefined : 'begins or ends with a space, which a header loses'
}
