import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express } from 'express'
import type { Registry } from 'prom-client'
import { shownHostPort } from '../adapter/address.ts'
import type { Log } from '../adapter/contract.ts'
import type { Workbench } from '../delivery/dead-letters/workbench.ts'
import { type ErrorCode, messageOf, PermanentError } from '../errors.ts'
import type { RefusalReason } from '../telemetry/stats.ts'
import type { GatewayStatus } from '../telemetry/status.ts'
import { deadLetterPages } from './dead-letters.ts'
import { tellError } from './errors.ts'
import { onlyOwnHost, onlyOwnPages, onlyWithToken } from './guard.ts'
import type { GatewayIdentity } from './identity.ts'
import { Refusals } from './refusals.ts'
import { connectionsView, readinessView, routesView } from './views.ts'

// An `import` of node:http reads all its exports, and so loads undici: 50 ms and several MiB nobody needs here.
const { createServer } = process.getBuiltinModule('node:http')

export interface AdminOptions {
  readonly host: string
  readonly port: number
  /** Wanted as `Authorization: Bearer …` for everything but the probes; undefined: not asked for. */
  readonly token: string | undefined
  /** Told to those who show the token: so a command finds out whether it asks the gateway it means. */
  readonly identity: GatewayIdentity
  /** Counts whom it refuses. */
  readonly refused?: Map<RefusalReason, number>
  readonly log?: Log
  /** How long a reader of a long answer may take nothing of it, in milliseconds. */
  readonly patienceMs?: number
}

/** A request has so long to arrive, its headers so long, and they are looked at so often. Milliseconds. */
const requestMs = 10_000
const headersMs = 5_000
const lookMs = 1_000
const usualPatienceMs = 30_000

/** Made when somebody scrapes for the first time: a gateway nobody scrapes does without the library. */
export type Metrics = () => Promise<Registry>

/** The admin server: probes, metrics, counts, and the work on dead letters where it gets a workbench. It knows no secret. */
export class AdminServer {
  readonly #server: Server
  readonly #options: AdminOptions

  constructor(options: AdminOptions, status: () => GatewayStatus, metrics: Metrics, workbench?: Workbench) {
    this.#options = options
    this.#server = createServer(
      { requestTimeout: requestMs, headersTimeout: headersMs, connectionsCheckingInterval: lookMs },
      adminApp(options, { status, metrics, workbench }),
    )
  }

  /** Resolves with the URL it listens on. Rejects with PermanentError, CONFIG_INVALID where this machine has no such address. */
  async listen(): Promise<string> {
    const { host, port } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject).listen(port, host, resolve)
    try {
      await promise
    } catch (cause) {
      throw listenError(cause, `${host}:${port}`)
    }
    const { port: actualPort } = this.#server.address() as AddressInfo
    return `http://${shownHostPort({ host, port: actualPort })}`
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }
}

function listenError(cause: unknown, address: string): PermanentError {
  const { code = '' } = cause as NodeJS.ErrnoException
  const why = code === 'EADDRINUSE' ? 'another process uses this port' : messageOf(cause)
  const message = `the admin server cannot listen on ${address}: ${why}; change it with gateway.admin.listen or TRIVIUM_ADMIN_LISTEN`
  return new PermanentError(listenCodes[code] ?? 'PEER_UNREACHABLE', message, { cause })
}

const listenCodes: Readonly<Record<string, ErrorCode>> = {
  EADDRINUSE: 'PORT_IN_USE',
  EACCES: 'ACCESS_DENIED',
  EADDRNOTAVAIL: 'CONFIG_INVALID',
  ENOTFOUND: 'CONFIG_INVALID',
}

/** What `GET /` tells: there is no page for people yet. */
const pages = [
  ...['/livez', '/readyz', '/metrics'],
  ...['/api/v1/gateway', '/api/v1/routes', '/api/v1/connections', '/api/v1/dead-letters'],
]

interface AdminParts {
  readonly status: () => GatewayStatus
  readonly metrics: Metrics
  readonly workbench: Workbench | undefined
}

function adminApp(options: AdminOptions, { status, metrics, workbench }: AdminParts): Express {
  const app = express()
  const refusals = new Refusals(options.refused ?? new Map(), options.log)
  app.disable('x-powered-by')
  app.use(onlyOwnHost(options.host, refusals))
  app.get('/livez', (_request, response) => void response.json({ status: 'ok' }))
  app.get('/readyz', (_request, response) => {
    const view = readinessView(status())
    response.status(view.status === 'ready' ? 200 : 503).json(view)
  })
  app.use(onlyOwnPages(refusals))
  app.use(onlyWithToken(options.token, refusals))
  app.get('/metrics', async (_request, response) => {
    const registry = await metrics()
    response.type(registry.contentType).send(await registry.metrics())
  })
  app.get('/api/v1/gateway', (_request, response) => {
    response.json({ ...options.identity, version: status().version })
  })
  app.get('/api/v1/routes', (_request, response) => void response.json(routesView(status())))
  app.get('/api/v1/connections', (_request, response) => void response.json(connectionsView(status())))
  if (workbench !== undefined)
    app.use('/api/v1/dead-letters', deadLetterPages(workbench, options.patienceMs ?? usualPatienceMs))
  app.get(
    '/',
    (_request, response) => void response.json({ id: options.identity.id, version: status().version, pages }),
  )
  app.use(
    (request, response) => void response.status(404).json({ error: `no such page: ${request.path}`, code: 'USAGE' }),
  )
  return app.use(tellError)
}
