import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { Log } from '../../adapter/contract.ts'
import { type Changes, parseEdit } from '../../admin/dead-letters-edit.ts'
import {
  type DiscardRequest,
  type Filter,
  type ListRequest,
  parseDiscard,
  parseExport,
  parseList,
  parseRequeue,
  type RequeueRequest,
} from '../../admin/dead-letters-request.ts'
import { jsonLine, type LetterRecord, recordOf, summaryOf } from '../../admin/dead-letters-view.ts'
import type { GatewayConfig } from '../../config/schema/types.ts'
import { type NumberedRoute, placeBy } from '../../delivery/dead-letters/placement.ts'
import { type PieceDone, Workbench } from '../../delivery/dead-letters/workbench.ts'
import { targetTextsOf } from '../../delivery/target-text.ts'
import { type ErrorCode, GatewayError } from '../../errors.ts'
import type { Store } from '../../store/contract.ts'
import { openStore } from '../../store/store.ts'
import { createLog } from '../../telemetry/log.ts'
import { exitCodes } from '../exit-codes.ts'
import { type Desk, DeskError, type Listed } from './desk.ts'

/** The store itself, while no gateway runs. What is requeued waits for the next start. */
export class LocalDesk implements Desk {
  readonly isRunning = false
  readonly gateway: string
  readonly #config: GatewayConfig
  readonly #store: Store
  readonly #bench: Workbench
  readonly #origin = `cli ${userName()}`

  /** Rejects with DeskError: 1 where there is no store yet, 75 while another process has it. */
  static async open(config: GatewayConfig): Promise<LocalDesk> {
    const { dataDir } = config.gateway
    if (!existsSync(join(dataDir, 'trivium.db'))) {
      throw new DeskError(exitCodes.found, `no store in ${dataDir} yet, so no dead letters`)
    }
    return LocalDesk.#told(
      async () => new LocalDesk(config, createLog({ level: 'info', format: 'auto', stream: besideBar() })),
    )
  }

  private constructor(config: GatewayConfig, log: Log) {
    const store = openStore({
      directory: config.gateway.dataDir,
      maxBytes: config.store.maxBytes,
      log,
      onFatal: endNow,
    })
    this.gateway = config.gateway.id
    this.#config = config
    this.#store = store
    this.#bench = new Workbench({ deadLetters: store.deadLetters, place: placeBy(routesOf(config, store)), log })
  }

  async routes(): Promise<readonly string[]> {
    return this.#config.routes.map(({ name }) => name)
  }

  list(request: ListRequest): Promise<Listed> {
    return LocalDesk.#told(async () => {
      const { query, page } = parseList(request)
      const { letters, next } = this.#bench.list(query, page)
      return { deadLetters: letters.map(summaryOf), total: this.#bench.count(query), next }
    })
  }

  async get(id: number): Promise<LetterRecord | undefined> {
    const letter = this.#bench.get(id)
    return letter && recordOf(letter)
  }

  requeue(request: RequeueRequest): Promise<PieceDone> {
    return LocalDesk.#told(async () => {
      const { query, order } = parseRequeue(request)
      return this.#bench.requeue(query, order, this.#origin)
    })
  }

  discard(request: DiscardRequest): Promise<PieceDone> {
    return LocalDesk.#told(async () => {
      const { query, piece } = parseDiscard(request)
      return this.#bench.discard(query, piece, this.#origin)
    })
  }

  edit(id: number, changes: Changes): Promise<LetterRecord | undefined> {
    return LocalDesk.#told(async () => {
      const letter = this.#bench.edit(id, parseEdit(changes), this.#origin)
      return letter && recordOf(letter)
    })
  }

  async *export(filter: Filter): AsyncGenerator<string, void> {
    const query = await LocalDesk.#told(async () => parseExport(filter))
    for await (const letter of this.#bench.export(query, this.#origin)) yield jsonLine(recordOf(letter))
  }

  async close(): Promise<void> {
    this.#store.close()
  }

  static async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof GatewayError) throw new DeskError(exitOf[error.code] ?? exitCodes.unavailable, error.message)
      throw error
    }
  }
}

const exitOf: Partial<Record<ErrorCode, number>> = {
  USAGE: exitCodes.usage,
  STORE_IN_USE: exitCodes.inUse,
  STORE_FAILED: exitCodes.disk,
  STORE_DAMAGED: exitCodes.disk,
}

/** Standard error; on a terminal a line takes the place of a progress bar. */
function besideBar(): NodeJS.WritableStream {
  const { stderr } = process
  if (!stderr.isTTY) return stderr
  const stream = new Writable({ write: (line, _encoding, done) => void stderr.write(`\r\u001b[K${line}`, done) })
  return Object.assign(stream, { isTTY: true })
}

/** Nothing may be written to a disk that failed, not even a clean end. */
function endNow(error: GatewayError): void {
  console.error(`trivium: ${error.message}`)
  process.exit(exitCodes.disk)
}

/** The routes of the configuration as the gateway would number them, each when it is asked for. */
function routesOf(config: GatewayConfig, store: Store): (name: string) => NumberedRoute | undefined {
  const known = new Map<string, NumberedRoute>()
  const protocolOf = (name: string) => {
    const protocol = config.protocols.find((candidate) => candidate.name === name)
    if (protocol === undefined) throw new TypeError(`no protocol ${name}`)
    return protocol
  }
  return (name) => {
    const route = config.routes.find((candidate) => candidate.name === name)
    if (route === undefined) return undefined
    const own = { match: route.match, expectsReplies: route.request !== undefined }
    const numbered = known.get(name) ?? { ...store.outbox.route(name, targetTextsOf(route, protocolOf)), ...own }
    known.set(name, numbered)
    return numbered
  }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.() ?? '') // a container's user often has no name
  }
}
