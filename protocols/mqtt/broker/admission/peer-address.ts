/** The address of a peer, as limits for each address count it. Pure. */
import { isIPv6 } from 'node:net'

/**
 * IPv4 as it is, also where a socket for both writes it `::ffff:10.0.0.7`; of IPv6 the first 64 bits, which is the least a
 * network gives one customer.
 */
export function addressKey(address: string): string {
  const plain = address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '')
  if (!isIPv6(plain) || plain === '::1') return plain
  const [head = '', tail] = plain.split('::')
  const groups = groupsOf(head)
  if (tail !== undefined)
    groups.push(...Array<string>(8 - groups.length - groupsOf(tail).length).fill('0'), ...groupsOf(tail))
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':')
}
