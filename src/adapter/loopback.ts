import { BlockList, isIP } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** True for a host that only this machine can reach: `localhost`, or an address that is written out. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  const kind = isIP(bare)
  return kind === 0 ? bare === 'localhost' : loopback.check(bare, kind === 4 ? 'ipv4' : 'ipv6')
}
