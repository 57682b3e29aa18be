/** A gateway in this process, from YAML as a user writes it, and what must hold when it has stopped. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import { protocols } from '../../protocols/index.ts'
import type { Log } from '../../src/adapter/contract.ts'
import { loadConfig } from '../../src/config/load.ts'
import { renderDiagnostics } from '../../src/config/render.ts'
import { Gateway } from '../../src/gateway.ts'
import type { LinkStats, RouteStats } from '../../src/telemetry/stats.ts'
import { notReady } from '../../src/telemetry/status.ts'
import { eventually } from './poll.ts'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
}

export class TestGateway {
  readonly gateway: Gateway
  readonly dataDir: string
  readonly lines: LogLine[] = []

  constructor(yaml: string, dataDir = mkdtempSync(join(tmpdir(), 'trivium-test-'))) {
    this.dataDir = dataDir
    const { config, diagnostics } = loadConfig(yaml, {
      file: 'test.yaml',
      env: { TRIVIUM_DATA_DIR: dataDir },
      protocols,
    })
    if (config === undefined) throw new Error(renderDiagnostics(diagnostics, yaml))
    const write = (level: LogLine['level']) => (message: string) => void this.lines.push({ level, message })
    const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
    this.gateway = new Gateway(config, protocols, log)
    this.gateway.start()
  }

  /** Resolves when every connection is up. */
  async ready(): Promise<this> {
    await eventually(() => notReady(this.gateway.status()).length === 0, {
      withinMs: 30_000,
      what: `ready: ${JSON.stringify(notReady(this.gateway.status()))} ${JSON.stringify(this.lines.slice(-5))}`,
    })
    return this
  }

  route(name: string): RouteStats {
    const route = this.gateway.status().routes.find((stats) => stats.name === name)
    if (route === undefined) throw new Error(`no route ${name}`)
    return route
  }

  link(connection: string, role: 'source' | 'sink'): LinkStats {
    const link = this.gateway.status().links.find((stats) => stats.connection === connection && stats.role === role)
    if (link === undefined) throw new Error(`no ${role} ${connection}`)
    return link
  }

  /** Stops it and checks the invariant: nothing is unaccounted for. */
  async stop(): Promise<void> {
    await this.gateway.stop()
    this.checkInvariant()
    rmSync(this.dataDir, { recursive: true, force: true })
  }

  /** received = settled + waiting, and for each route matched = delivered + filtered + dead-lettered + released + in flight. */
  checkInvariant(): void {
    const { routes, links, inFlight } = this.gateway.status()
    for (const r of routes) {
      const ended = r.delivered + r.filtered + r.deadLetteredTotal + r.released
      expect({ route: r.name, matched: r.matched }).toEqual({ route: r.name, matched: ended + r.inFlight })
    }
    const sources = links.filter((link) => link.role === 'source')
    const waiting = sources.reduce((sum, link) => sum + link.received - link.settled, 0)
    const unfinished = routes.reduce((sum, route) => sum + route.inFlight, 0)
    expect(waiting === 0).toBe(unfinished === 0)
    if (unfinished === 0) expect(inFlight).toEqual({ count: 0, bytes: 0 })
  }
}
