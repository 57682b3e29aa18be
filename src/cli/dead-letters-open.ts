import type { GatewayConfig } from '../config/types.ts'
import { readConfig } from './config-file.ts'
import { type Desk, DeskError } from './dead-letters-desk.ts'
import { RemoteDesk } from './dead-letters-remote.ts'
import { exitCodes } from './exit-codes.ts'

export interface PlaceOptions {
  readonly config?: string
  readonly url?: string
}

/**
 * The running gateway where there is one, else the store in the data directory. Resolves with an exit code where the
 * configuration cannot be read, which is printed.
 */
export async function openDesk({ url, config: file }: PlaceOptions): Promise<Desk | number> {
  if (url !== undefined) return remoteDesk(url)
  const config = readConfig(file)
  if (typeof config === 'number') return config
  const address = addressOf(config)
  const remote = address === undefined ? undefined : new RemoteDesk(address, config.gateway.admin?.token)
  if (await remote?.isThere()) return remote as RemoteDesk
  return localDesk(config, address)
}

async function remoteDesk(url: string): Promise<Desk> {
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new DeskError(exitCodes.usage, `--url ${url}: expected http://host:port`)
  const desk = new RemoteDesk(url, process.env.TRIVIUM_ADMIN_TOKEN || undefined)
  if (await desk.isThere()) return desk
  throw new DeskError(exitCodes.unavailable, `nothing listens at ${url}`)
}

/** Loaded only now: with a running gateway there is no need of SQLite. */
async function localDesk(config: GatewayConfig, address: string | undefined): Promise<Desk> {
  const { LocalDesk } = await import('./dead-letters-local.ts')
  try {
    return await LocalDesk.open(config)
  } catch (error) {
    if (!(error instanceof DeskError) || error.exitCode !== exitCodes.inUse) throw error
    const away = address === undefined ? 'its admin server is off' : `nothing listens at ${address}`
    const help = `${away}, so it cannot be asked; turn gateway.admin on, name it with --url, or stop it first`
    throw new DeskError(error.exitCode, `${error.message}; ${help}`)
  }
}

/** Where the gateway of this configuration listens; undefined: nowhere. */
function addressOf({ gateway: { admin } }: GatewayConfig): string | undefined {
  if (admin === undefined) return undefined
  const host = admin.host === '0.0.0.0' ? '127.0.0.1' : admin.host === '::' ? '::1' : admin.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${admin.port}`
}
