import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Log } from '../adapter/contract.ts'
import { identityOf } from '../admin/identity.ts'
import type { AdminServer, Metrics } from '../admin/server.ts'
import type { GatewayConfig } from '../config/schema/types.ts'
import { type ErrorCode, GatewayError, messageOf } from '../errors.ts'
import { Gateway } from '../gateway.ts'
import { whenReady } from '../library/when-ready.ts'
import { createLog, type LogFormat, type LogLevel } from '../telemetry/log.ts'
import type { RefusalReason } from '../telemetry/stats.ts'
import type { GatewayStatus } from '../telemetry/status.ts'
import { visible } from '../telemetry/visible.ts'
import { version } from '../version.ts'
import { readConfig } from './config-file.ts'
import { exitCodes } from './exit-codes.ts'
import { counted } from './words.ts'

export interface RunOptions {
  readonly logLevel: LogLevel
  readonly logFormat: LogFormat
}

/** Runs the gateway until a signal or a failure that no waiting can mend. Resolves with the exit code. */
export async function run(file: string | undefined, options: RunOptions): Promise<number> {
  const log = createLog({ level: options.logLevel, format: options.logFormat })
  const config = readConfig(file, ({ code, message, file: at, line }) =>
    log.warn(message, { code, at: `${at}:${line}` }),
  )
  if (typeof config === 'number') return config
  failStop(log)
  try {
    return await runGateway(new Gateway(config, config.protocols, log), config, log)
  } catch (error) {
    return reportFailure(error, log)
  }
}

/** Until then a broker may be away; notes are shown all the same. */
const notesAfterMs = 10_000

async function runGateway(gateway: Gateway, config: GatewayConfig, log: Log): Promise<number> {
  const admin = await adminOf(gateway, config, log)
  try {
    const address = await admin?.listen()
    forgetStart()
    gateway.start()
    greet(config, address, log)
    void showNotes(gateway, config.gateway.notes, log)
    const failure = await Promise.race([stopSignal(log), gateway.fatal])
    if (failure instanceof GatewayError && failure.code === 'STORE_FAILED') process.exit(reportFailure(failure, log))
    await gateway.stop()
    sayStopped(gateway, log)
    return failure === undefined ? exitCodes.ok : reportFailure(failure, log)
  } finally {
    await admin?.close()
  }
}

async function adminOf(
  gateway: Gateway,
  { gateway: settings }: GatewayConfig,
  log: Log,
): Promise<AdminServer | undefined> {
  if (!settings.admin) return undefined
  const { AdminServer } = await import('../admin/server.ts')
  const refused = new Map<RefusalReason, number>()
  const status = () => ({ ...gateway.status(), adminRefused: refused })
  const options = { ...settings.admin, identity: identityOf(settings), refused, log }
  return new AdminServer(options, status, metricsOf(status), gateway.workbench)
}

/** Reading sources and configuration fills the young generation to its limit, and it would stay so: it is given back at once. */
function forgetStart(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (how: { type: string; flavor: string }) => void
  collect({ type: 'major', flavor: 'last-resort' })
}

function metricsOf(status: () => GatewayStatus): Metrics {
  let registry: ReturnType<Metrics> | undefined
  return () => {
    registry ??= import('../telemetry/metrics.ts').then(({ createMetrics }) => createMetrics(status))
    return registry
  }
}

function greet(config: GatewayConfig, admin: string | undefined, log: Log): void {
  const routes = counted(config.routes.length, 'route')
  log.info(`trivium ${version} starts ${routes} as ${config.gateway.id}`, admin === undefined ? {} : { admin })
}

/** What to try, once it can be tried: on a terminal a block behind the first lines of the log, else lines of it. */
async function showNotes(gateway: Gateway, notes: readonly string[], log: Log): Promise<void> {
  if (notes.length === 0) return
  await whenReady(gateway, AbortSignal.timeout(notesAfterMs)).catch(() => {})
  if (process.stderr.isTTY) process.stderr.write(`\n${notes.map((note) => `  ${visible(note)}\n`).join('')}\n`)
  else for (const note of notes) log.info(note)
}

function sayStopped(gateway: Gateway, log: Log): void {
  const { waiting } = gateway.status().store
  log.info(`stopped; waiting in the store: ${waiting === 0 ? 'nothing' : counted(waiting, 'message')}`, { waiting })
}

/**
 * Resolves at the first SIGINT, SIGTERM or SIGHUP. A second SIGINT or SIGTERM ends the process at once; a second SIGHUP
 * does not: the kernel and the shell each send one when a terminal is closed.
 */
function stopSignal(log: Log): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  let isStopping = false
  const onSignal = (signal: keyof typeof codeAtOnce) => {
    if (isStopping && signal !== 'SIGHUP') process.exit(codeAtOnce[signal])
    if (isStopping) return
    isStopping = true
    log.info(`${signal}: stopping; delivering what is in flight first`)
    resolve(undefined)
  }
  process.stderr.on('error', () => {}) // the log's terminal may be gone, and the drain goes on
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal).on('SIGHUP', onSignal)
  return promise
}

const codeAtOnce = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

function reportFailure(failure: unknown, log: Log): number {
  const code = failure instanceof GatewayError ? failure.code : 'INTERNAL'
  log.error(messageOf(failure), { code })
  return exitCodeOf[code] ?? exitCodes.unavailable
}

const exitCodeOf: Partial<Record<ErrorCode, number>> = {
  CONFIG_INVALID: exitCodes.config,
  FILE_MISSING: exitCodes.config,
  INTERNAL: exitCodes.internal,
  STORE_IN_USE: exitCodes.inUse,
  STORE_FAILED: exitCodes.disk,
  STORE_DAMAGED: exitCodes.disk,
}

/** An error nobody expected: nothing more is acknowledged, the process ends, and the sources give everything again. */
function failStop(log: Log): void {
  process.on('uncaughtException', (error) => {
    log.error(`internal error, exiting (nothing acknowledged is lost): ${messageOf(error)}`, { stack: error.stack })
    process.exit(exitCodes.internal)
  })
}
