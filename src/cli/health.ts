import { messageOf } from '../errors.ts'
import { readConfig } from './config-file.ts'
import { exitCodes } from './exit-codes.ts'

export interface HealthOptions {
  readonly url?: string
  readonly live?: boolean
  readonly config?: string
}

/** A container's engine waits no longer either. Milliseconds. */
const answerWithinMs = 3_000

/** Asks a running gateway how it is: for a container without a shell. Resolves with 0, or 1 when it is not well. */
export async function health(options: HealthOptions): Promise<number> {
  const base = options.url ?? adminUrl(options.config)
  if (typeof base === 'number') return base
  if (!URL.canParse(base)) return report(exitCodes.usage, `--url ${base}: expected http://host:port`)
  const url = new URL(options.live ? '/livez' : '/readyz', base)
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(answerWithinMs) })
    const text = await answer.text()
    if (answer.ok) return exitCodes.ok
    return report(exitCodes.found, `${url} answered ${answer.status}: ${text}`)
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    return report(exitCodes.found, `${url} does not answer: ${messageOf(cause)}`)
  }
}

/** Where the gateway's admin server is: as the gateway finds it, from the environment, else from the configuration. */
function adminUrl(configFile: string | undefined): string | number {
  const listen = process.env.TRIVIUM_ADMIN_LISTEN
  if (listen && listen !== 'off') return `http://${reachable(listen)}`
  const config = readConfig(configFile)
  if (typeof config === 'number') return config
  const { admin } = config.gateway
  if (admin === undefined) return report(exitCodes.usage, 'the admin server is off: there is nobody to ask')
  return `http://${reachable(`${admin.host.includes(':') ? `[${admin.host}]` : admin.host}:${admin.port}`)}`
}

/** An address to ask in place of one that means every address of this machine. */
const reachable = (listen: string): string => listen.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:')

function report(code: number, message: string): number {
  console.error(`trivium: ${message}`)
  return code
}
