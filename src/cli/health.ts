import { messageOf } from '../errors.ts'
import { adminAddressOf, adminUrlProblem, reachable, strangerText, tokenSource } from './admin-address.ts'
import { AdminApi } from './admin-api.ts'
import { configFileOf, readConfig } from './config-file.ts'
import { DeskError } from './dead-letters/desk.ts'
import { plain } from './dead-letters/text.ts'
import { exitCodes } from './exit-codes.ts'
import { counted } from './words.ts'

export interface HealthOptions {
  readonly url?: string
  readonly live?: boolean
  readonly config?: string
}

/** A container's engine waits no longer either. Milliseconds. */
const answerWithinMs = 3_000

interface HealthPlace {
  readonly url: string
  /** What is wrong with who listens there; a place that was named outright is not asked. */
  readonly problem?: () => Promise<string | undefined>
}

/** Asks a running gateway how it is: for a container without a shell. Resolves with 0, or 1 when it is not well. */
export async function health(options: HealthOptions): Promise<number> {
  const place = options.url === undefined ? placeOf(options.config) : { url: options.url }
  if (typeof place === 'number') return place
  const wrong = adminUrlProblem(place.url)
  if (wrong !== undefined) return report(exitCodes.usage, wrong)
  const url = new URL(options.live ? '/livez' : '/readyz', place.url)
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(answerWithinMs) })
    const text = await answer.text()
    if (!answer.ok) return report(exitCodes.found, unwellText(text) ?? `${url} answered ${answer.status}: ${text}`)
    const problem = await place.problem?.()
    if (problem !== undefined) return report(exitCodes.found, problem)
    console.log(options.live ? 'alive' : plain(readyText(text)))
    return exitCodes.ok
  } catch (error) {
    if (error instanceof DeskError) return report(exitCodes.found, error.message)
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    return report(exitCodes.found, `${url} does not answer: ${messageOf(cause)}`)
  }
}

/** Where the gateway's admin server is: as the gateway finds it, from the environment, else from the configuration. */
function placeOf(named: string | undefined): HealthPlace | number {
  const listen = process.env.TRIVIUM_ADMIN_LISTEN
  if (listen && listen !== 'off') return { url: `http://${reachable(listen)}` }
  const config = readConfig(named)
  if (typeof config === 'number') return config
  const url = adminAddressOf(config)
  if (url === undefined) return report(exitCodes.usage, 'the admin server is off, so there is nothing to ask')
  const file = configFileOf(named)
  const { token } = config.gateway.admin ?? {}
  const api = new AdminApi({ url, token, tokenFrom: tokenSource(file), withinMs: answerWithinMs })
  return { url, problem: async () => strangerText(await api.identity(), url, config, file) }
}

interface NotReadyReason {
  readonly connection: string
  readonly role: string
  readonly reason: string
}

/** `not ready; events as source: topic commands does not exist`; undefined where the answer is not that of `/readyz`. */
function unwellText(answer: string): string | undefined {
  try {
    const { status, waitingFor } = JSON.parse(answer) as { status?: string; waitingFor?: readonly NotReadyReason[] }
    if (status === undefined || waitingFor === undefined) return undefined
    return [status, ...waitingFor.map(waitingText)].join('; ')
  } catch {
    return undefined
  }
}

/** `*` is the gateway itself, or its store. */
const waitingText = ({ connection, role, reason }: NotReadyReason): string =>
  `${connection === '*' ? role : `${connection} as ${role}`}: ${reason}`

/** `ready; away: events; blocked: orders (NOT_FOUND); 500 messages in the store`. */
function readyText(answer: string): string {
  const {
    away = [],
    stored = [],
    blocked = [],
    deadLettersHeld = 0,
  } = JSON.parse(answer) as {
    away?: readonly { connection: string }[]
    stored?: readonly { messages: number }[]
    blocked?: readonly { connection: string; code: string }[]
    deadLettersHeld?: number
  }
  const names = [...new Set(away.map(({ connection }) => connection))]
  const stuck = [...new Set(blocked.map(({ connection, code }) => `${connection} (${code})`))]
  const waiting = stored.reduce((sum, { messages }) => sum + messages, 0)
  return [
    'ready',
    ...(names.length === 0 ? [] : [`away: ${names.join(', ')}`]),
    ...(stuck.length === 0 ? [] : [`blocked: ${stuck.join(', ')}`]),
    ...(deadLettersHeld === 0 ? [] : [`dead letters full: ${deadLettersHeld} held back`]),
    ...(waiting === 0 ? [] : [`${counted(waiting, 'message')} in the store`]),
  ].join('; ')
}

function report(code: number, message: string): number {
  console.error(`trivium: ${plain(message)}`)
  return code
}
