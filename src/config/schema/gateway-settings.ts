import type { z } from 'zod'
import { parseHostPort } from '../../adapter/address.ts'
import { isLoopback } from '../../adapter/loopback.ts'
import type { Path } from '../report/diagnostic.ts'
import { describeValue } from '../report/where.ts'
import { tokenProblem } from './admin-token.ts'
import { parse } from './parse.ts'
import type { Scene } from './scene.ts'
import { gatewaySection, listenAddress } from './schema.ts'
import { sidecarOf } from './sidecar-settings.ts'
import type { GatewaySettings } from './types.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Reads `gateway`; TRIVIUM_DATA_DIR, TRIVIUM_ADMIN_LISTEN and TRIVIUM_ADMIN_TOKEN win over the file. */
export function readGateway(scene: Scene, env: Env): GatewaySettings | undefined {
  const section = parse(scene, gatewaySection, scene.root.gateway ?? {}, { path: ['gateway'] })
  const listen = listenOf(scene, section, env)
  const declared = section?.admin || undefined
  const token = env.TRIVIUM_ADMIN_TOKEN || declared?.token || undefined
  checkTokens(scene, declared?.token, env)
  if (section === undefined || listen === undefined) return undefined
  const admin = listen === 'off' ? undefined : { ...parseHostPort(listen, 0), token }
  if (admin !== undefined && token === undefined && !isLoopback(admin.host)) refuseOpenAdmin(scene, listen, env)
  return {
    id: section.id,
    dataDir: env.TRIVIUM_DATA_DIR || section.dataDir,
    admin,
    sidecar: sidecarOf(scene, section.sidecar),
    maxInFlight: section.maxInFlight,
    maxInFlightBytes: section.maxInFlightBytes,
    drainMs: section.drain,
    notes: section.notes,
  }
}

const tokenPath: Path = ['gateway', 'admin', 'token']

/** `${env:NAME:-}` says that there may be none; any other way to an empty token is a mistake that opens the interface. */
function checkTokens({ report, document, root }: Scene, declared: string | undefined, env: Env): void {
  const [written] = document.texts(tokenPath)
  const isOptional = declared === '' && (written === undefined || written.written.endsWith(':-}'))
  const problem = declared === undefined || isOptional ? undefined : tokenProblem(declared)
  if (problem !== undefined)
    report.add('TRV2005', `${describeValue(tokenPath, root)}: ${problem}`, { path: tokenPath, on: 'value' })
  const fromEnv = variableProblem(env.TRIVIUM_ADMIN_TOKEN, declared)
  if (fromEnv !== undefined) report.addWithoutPlace('TRV2005', `TRIVIUM_ADMIN_TOKEN: ${fromEnv}`, {}, 'environment')
}

/** An empty variable gives way to the file's token; without that one it would leave the interface open. */
function variableProblem(token: string | undefined, declared: string | undefined): string | undefined {
  if (token) return tokenProblem(token)
  return token === undefined || declared ? undefined : 'is set but empty; unset it if there is no token'
}

/** `off`, or an address and port; undefined when neither the file nor the variable is right. */
function listenOf(scene: Scene, section: z.infer<typeof gatewaySection> | undefined, env: Env): string | undefined {
  const fromEnv = env.TRIVIUM_ADMIN_LISTEN
  const problem = fromEnv ? listenAddress().safeParse(fromEnv).error : undefined
  if (problem !== undefined) {
    const [issue] = problem.issues
    scene.report.addWithoutPlace('TRV2005', `TRIVIUM_ADMIN_LISTEN: ${issue?.message}`, {}, 'environment')
    return undefined
  }
  if (fromEnv) return fromEnv
  if (section === undefined) return undefined
  const declared = section.admin || undefined
  return declared?.listen || 'off'
}

function refuseOpenAdmin({ report }: Scene, listen: string, env: Env): void {
  const message = `the admin interface on ${listen} can be reached from other machines without a token`
  if (env.TRIVIUM_ADMIN_LISTEN) {
    const help = 'set TRIVIUM_ADMIN_TOKEN, or listen on 127.0.0.1'
    return report.addWithoutPlace('TRV2015', message, { help }, 'environment')
  }
  const help = 'add `token: "${env:TRIVIUM_ADMIN_TOKEN}"`, or listen on 127.0.0.1'
  report.add('TRV2015', message, { path: ['gateway', 'admin', 'listen'], on: 'value' }, { help })
}
