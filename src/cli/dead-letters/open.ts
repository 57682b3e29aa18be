import type { GatewayConfig } from '../../config/schema/types.ts'
import { adminAddressOf, adminUrlProblem, strangerText, tokenSource } from '../admin-address.ts'
import { configFileOf, readConfig } from '../config-file.ts'
import { exitCodes } from '../exit-codes.ts'
import { quoted } from '../words.ts'
import { type Desk, DeskError, type PlaceOptions } from './desk.ts'
import { aboutOption } from './options.ts'
import { RemoteDesk } from './remote.ts'
import { plain } from './text.ts'

/** Does the job where the options say. Resolves with its exit code, or that of the DeskError that ended it, which is printed. */
export async function atDesk(options: PlaceOptions, job: (desk: Desk) => Promise<number>): Promise<number> {
  let desk: Desk | undefined
  try {
    const opened = await openDesk(options)
    if (typeof opened === 'number') return opened
    desk = opened
    return await job(desk)
  } catch (error) {
    if (!(error instanceof DeskError)) throw error
    const isUsage = error.exitCode === exitCodes.usage
    console.error(`trivium: ${plain(isUsage ? aboutOption(error.message, { ...options }) : error.message)}`)
    return error.exitCode
  } finally {
    await desk?.close()
  }
}

export const absent = (id: number) =>
  new DeskError(exitCodes.found, `no dead letter ${id}: it was requeued or discarded, or never existed`)

/**
 * The running gateway of the configuration where there is one, else the store in the data directory. Resolves with an exit
 * code where the configuration cannot be read, which is printed; rejects where another gateway has its address.
 */
async function openDesk({ url, config: named }: PlaceOptions): Promise<Desk | number> {
  if (url !== undefined) return remoteDesk(url)
  const config = readConfig(named)
  if (typeof config === 'number') return config
  const address = adminAddressOf(config)
  const file = configFileOf(named)
  const token = { token: config.gateway.admin?.token, tokenFrom: tokenSource(file) }
  const remote = address === undefined ? undefined : await RemoteDesk.open({ url: address, ...token })
  if (address === undefined || remote === undefined) return localDesk(config, address)
  const problem = strangerText(remote.identity, address, config, file)
  if (problem !== undefined) throw new DeskError(exitCodes.unavailable, problem)
  return remote
}

/** The same place, as the user would have to write it once more. */
export function placeText({ url, config }: PlaceOptions): string {
  if (url !== undefined) return ` --url ${quoted(url)}`
  return config === undefined ? '' : ` -c ${quoted(config)}`
}

async function remoteDesk(url: string): Promise<Desk> {
  const problem = adminUrlProblem(url)
  if (problem !== undefined) throw new DeskError(exitCodes.usage, problem)
  const token = process.env.TRIVIUM_ADMIN_TOKEN || undefined
  const desk = await RemoteDesk.open({ url, token, tokenFrom: 'TRIVIUM_ADMIN_TOKEN' })
  if (desk !== undefined) return desk
  throw new DeskError(exitCodes.unavailable, `nothing listens at ${url}`)
}

/** Loaded only now: with a running gateway there is no need of SQLite. */
async function localDesk(config: GatewayConfig, address: string | undefined): Promise<Desk> {
  const { LocalDesk } = await import('./local.ts')
  try {
    return await LocalDesk.open(config)
  } catch (error) {
    if (!(error instanceof DeskError) || error.exitCode !== exitCodes.inUse) throw error
    const away = address === undefined ? 'its admin server is off' : `nothing listens at ${address}`
    const help = `${away}, so it cannot be asked; enable gateway.admin, pass --url, or stop it first`
    throw new DeskError(error.exitCode, `${error.message}; ${help}`)
  }
}
