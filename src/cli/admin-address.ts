import { addressProblem, shownAddress, shownHostPort } from '../adapter/address.ts'
import { type GatewayIdentity, identityOf, isSameGateway } from '../admin/identity.ts'
import type { GatewayConfig } from '../config/schema/types.ts'

/** Where the gateway of this configuration can be asked; undefined: its admin server is off. */
export function adminAddressOf({ gateway: { admin } }: GatewayConfig): string | undefined {
  return admin && `http://${reachable(shownHostPort(admin))}`
}

/** What is wrong with the `--url` that somebody typed, or undefined. */
export function adminUrlProblem(url: string): string | undefined {
  const rule = { schemes: ['http', 'https'], example: 'http://127.0.0.1:7070' }
  if (!url.includes('@')) {
    return addressProblem(url, rule) === undefined ? undefined : `--url ${url}: expected http://host:port`
  }
  return `--url ${shownAddress(url)}: expected http://host:port without a user; TRIVIUM_ADMIN_TOKEN holds the token`
}

/** An address to ask in place of one that means every address of this machine. */
export const reachable = (listen: string): string =>
  listen.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')

/** Whose token it is that a gateway of this configuration is shown. */
export const tokenSource = (file: string): string =>
  process.env.TRIVIUM_ADMIN_TOKEN ? 'TRIVIUM_ADMIN_TOKEN' : `gateway.admin.token of ${file}`

/** What to tell where another gateway than that of the configuration listens at its address; undefined: it is the right one. */
export function strangerText(
  found: GatewayIdentity,
  url: string,
  config: GatewayConfig,
  file: string,
): string | undefined {
  const meant = identityOf(config.gateway)
  if (isSameGateway(found, meant)) return undefined
  const [there, wanted] = [found, meant].map(({ id, dataDir }) => `gateway ${id} with data in ${dataDir}`)
  return `${url} belongs to ${there}, but ${file} describes ${wanted}; to use the one at that address: --url ${url}`
}
