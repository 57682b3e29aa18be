import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express } from 'express'
import type { Registry } from 'prom-client'
import { messageOf, PermanentError } from '../errors.ts'
import type { GatewayStatus } from '../telemetry/status.ts'
import { onlyOwnHost, onlyWithToken } from './guard.ts'
import { connectionsView, readinessView, routesView } from './views.ts'

// An `import` of node:http reads all its exports, and so loads undici: 50 ms and several MiB nobody needs here.
const { createServer } = process.getBuiltinModule('node:http')

export interface AdminOptions {
  readonly host: string
  readonly port: number
  /** Wanted as `Authorization: Bearer …` for everything but the probes; undefined: not asked for. */
  readonly token: string | undefined
}

/** Made when somebody scrapes for the first time: a gateway nobody scrapes does without the library. */
export type Metrics = () => Promise<Registry>

/** The admin server: probes, metrics and counts. It changes nothing, and knows no secret. */
export class AdminServer {
  readonly #server: Server
  readonly #options: AdminOptions

  constructor(options: AdminOptions, status: () => GatewayStatus, metrics: Metrics) {
    this.#options = options
    this.#server = createServer(adminApp(options, status, metrics))
    this.#server.requestTimeout = 10_000
  }

  /** Resolves with the URL it listens on. Rejects with PermanentError PORT_IN_USE. */
  async listen(): Promise<string> {
    const { host, port } = this.#options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject).listen(port, host, resolve)
    try {
      await promise
    } catch (cause) {
      throw new PermanentError(
        'PORT_IN_USE',
        `the admin server cannot listen on ${host}:${port}: ${messageOf(cause)}`,
        {
          cause,
        },
      )
    }
    const { port: actualPort } = this.#server.address() as AddressInfo
    return `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }
}

/** The routes of the admin server, as an app of their own for tests. */
export function adminApp(options: AdminOptions, status: () => GatewayStatus, metrics: Metrics): Express {
  const app = express()
  app.disable('x-powered-by')
  app.use(onlyOwnHost(options.host))
  app.get('/livez', (_request, response) => void response.json({ status: 'ok' }))
  app.get('/readyz', (_request, response) => {
    const view = readinessView(status())
    response.status(view.status === 'ready' ? 200 : 503).json(view)
  })
  app.use(onlyWithToken(options.token))
  app.get('/metrics', async (_request, response) => {
    const registry = await metrics()
    response.type(registry.contentType).send(await registry.metrics())
  })
  app.get('/api/v1/routes', (_request, response) => void response.json(routesView(status())))
  app.get('/api/v1/connections', (_request, response) => void response.json(connectionsView(status())))
  app.use((request, response) => void response.status(404).json({ error: `no such page: ${request.path}` }))
  return app
}
