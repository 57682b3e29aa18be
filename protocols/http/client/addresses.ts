/** Which addresses a host that a message chose may have. */
import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { PermanentError } from '../../../src/errors.ts'

/** Of the IANA registries of special purposes, what does not lead to a server on the internet. */
const reserved = new BlockList()
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  reserved.addSubnet(network, bits, 'ipv4')
for (const [network, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16], // holds an IPv4 address
  ['3fff::', 20],
] as const)
  reserved.addSubnet(network, bits, 'ipv6')

const global6 = new BlockList()
global6.addSubnet('2000::', 3, 'ipv6')

/** False for private, loopback, link-local and other addresses that are no place on the internet. */
export function isPublic(address: string): boolean {
  const kind = isIP(address)
  if (kind === 4) return !reserved.check(address, 'ipv4')
  return kind === 6 && global6.check(address, 'ipv6') && !reserved.check(address, 'ipv6')
}

/** Throws PermanentError where a host is written as such an address; names are judged when they are looked up. */
export function refusePrivate(host: string): void {
  if (isIP(host) !== 0 && !isPublic(host)) throw notPublic(host, host)
}

export type Resolve = (host: string, done: (error: Error | null, addresses: readonly LookupAddress[]) => void) => void
export const systemResolve: Resolve = (host, done) => systemLookup(host, { all: true }, done)

/**
 * The look-up of a connection: what it gives is what is connected to, so that a second answer of the name's server
 * counts for nothing. One address that is not public spoils them all.
 */
export function publicLookup(resolve: Resolve): LookupFunction {
  return (host, options, callback) =>
    resolve(host, (error, addresses) => {
      const [first] = addresses ?? []
      const wrong = addresses?.find(({ address }) => !isPublic(address))
      if (error !== null || first === undefined) callback(error ?? new Error(`${host} has no address`), '', 0)
      else if (wrong !== undefined) callback(notPublic(host, wrong.address), '', 0)
      else if (options.all) callback(null, [...addresses])
      else callback(null, first.address, first.family)
    })
}

function notPublic(host: string, address: string): PermanentError {
  const at = host === address ? host : `${host} is at ${address}, which`
  return new PermanentError('DESTINATION_INVALID', `${at} is no public address: \`hosts: any\` would allow it`)
}
