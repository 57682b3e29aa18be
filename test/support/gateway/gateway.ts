/** A gateway in this process, from YAML as a user writes it, and what must hold when it has stopped. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import { protocols } from '../../../protocols/index.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { renderDiagnostics } from '../../../src/config/report/render.ts'
import { Gateway } from '../../../src/gateway.ts'
import type { StoredDeadLetter } from '../../../src/store/contract.ts'
import { ExchangeStats, type LinkStats, type RouteStats } from '../../../src/telemetry/stats.ts'
import { linksDown } from '../../../src/telemetry/status.ts'
import { type LogLine, recordingLog } from '../contexts/log.ts'
import { eventually } from '../poll.ts'

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
    this.gateway = new Gateway(config, protocols, recordingLog(this.lines).log)
    this.gateway.start()
  }

  /** Resolves when every connection is up. */
  async ready(): Promise<this> {
    await eventually(() => linksDown(this.gateway.status()).length === 0, {
      withinMs: 90_000, // the supervisor may wait 30 s between two attempts
      what: `ready: ${JSON.stringify(linksDown(this.gateway.status()))} ${JSON.stringify(this.lines.slice(-5))}`,
    })
    return this
  }

  route(name: string): RouteStats {
    const route = this.gateway.status().routes.find((stats) => stats.name === name)
    if (route === undefined) throw new Error(`no route ${name}`)
    return route
  }

  link(connection: string, role: LinkStats['role']): LinkStats {
    const link = this.gateway.status().links.find((stats) => stats.connection === connection && stats.role === role)
    if (link === undefined) throw new Error(`no ${role} ${connection}`)
    return link
  }

  /** The dead letters it keeps. */
  letters(): readonly StoredDeadLetter[] {
    return this.gateway.workbench.list({}, { limit: 10_000 }).letters
  }

  /** Stops it, keeps its data, and checks the invariant. */
  async pause(): Promise<void> {
    await this.gateway.stop()
    this.checkInvariant()
  }

  /** Stops it and checks the invariant: nothing is unaccounted for. */
  async stop(): Promise<void> {
    await this.pause()
    rmSync(this.dataDir, { recursive: true, force: true })
  }

  /** received = settled + in flight, and for each route the sum in telemetry/stats.ts. */
  checkInvariant(): void {
    const { routes, links, inFlight } = this.gateway.status()
    for (const r of routes) {
      const ended = r.delivered + r.filtered + r.duplicates + r.deadLetteredTotal + r.released
      const taken = r.matched + r.restored
      expect({ route: r.name, taken }).toEqual({ route: r.name, taken: ended + r.inFlight + r.waiting })
      const { replies, returned, late, unknown } = r.exchange ?? new ExchangeStats()
      expect({ route: r.name, replies }).toEqual({ route: r.name, replies: returned + late + unknown })
    }
    const sources = links.filter((link) => link.role === 'source')
    const waiting = sources.reduce((sum, link) => sum + link.received - link.settled, 0)
    const unfinished = routes.reduce((sum, route) => sum + route.inFlight, 0)
    expect(waiting === 0).toBe(unfinished === 0)
    if (unfinished === 0) expect(inFlight).toEqual({ count: 0, bytes: 0 })
  }
}
