/** A route that asks, between askers and workers that the test plays; the rest is the gateway's own. */
import {
  delivered,
  type Outbound,
  type Outcome,
  type Reply,
  type Settlement,
} from '../../../../src/adapter/contract.ts'
import type { AnyProtocol } from '../../../../src/adapter/protocol.ts'
import type { RequestSettings, RouteConfig } from '../../../../src/config/schema/types.ts'
import type { AskingRoute } from '../../../../src/delivery/answered/asking-route.ts'
import { Exchange } from '../../../../src/delivery/answered/exchange.ts'
import { DeadLetterOffice } from '../../../../src/delivery/dead-letters/office.ts'
import { Dispatcher } from '../../../../src/delivery/dispatcher.ts'
import { Outlet } from '../../../../src/delivery/outlet.ts'
import { compileRoute } from '../../../../src/routing/router.ts'
import type { DeadLetter, DeadLetterStore } from '../../../../src/store/contract.ts'
import { ExchangeStats, LinkStats, RouteStats, TargetStats } from '../../../../src/telemetry/stats.ts'
import { message, silent } from '../../store/stores.ts'
import { refused, ScriptedSink } from '../scripted.ts'

/** `open`: waits where it asked; `mailed`: names an address. */
export type Way = 'open' | 'mailed'

/** One who has asked, and all that came of it. */
export interface Asking {
  readonly question: string
  readonly way: Way
  readonly answers: string[]
  readonly settlements: Settlement[]
}

/** A sink that keeps what it has sent. */
class KeepingSink extends ScriptedSink {
  readonly outbounds: Outbound[] = []
  underWay: readonly Outbound[] = []

  override async send(batch: readonly Outbound[]): Promise<readonly Outcome[]> {
    this.underWay = batch
    const outcomes = await super.send(batch)
    this.outbounds.push(...batch.filter((_, at) => outcomes[at]?.kind === 'delivered'))
    return outcomes
  }
}

const textOf = (payload: Uint8Array | null) => Buffer.from(payload ?? []).toString()
const nextTurn = () => new Promise((resolve) => setImmediate(resolve))
const patterns = () => [{ text: 'questions', separator: undefined }]

/** The address of one who knows how to break it. */
export const breaking = 'breaking'

function addressOf({ replyTo }: { replyTo?: string }) {
  if (replyTo === breaking) throw new TypeError('no protocol has foreseen this')
  return replyTo && { to: replyTo }
}

const protocolOf = (name: string): AnyProtocol =>
  ({
    name,
    source: {
      patterns,
      asks: name === 'open' ? {} : { replyTo: addressOf },
    },
    sink: { destinations: {}, plainTemplates: [], address: ({ name: worker }: { name: string }) => worker },
    replies: { address: () => 'replies', isShared: false },
  }) as unknown as AnyProtocol

const requestSettings: RequestSettings = {
  ...{ timeoutMs: 1_000, maxOutstanding: 5, late: 'deadLetter', to: undefined, scatter: undefined },
  reply: { from: undefined, correlation: '', set: new Map() },
}

export class World {
  readonly askings: Asking[] = []
  readonly letters: DeadLetter[] = []
  /** By reply: what its channel was told. */
  readonly replySettlements: Settlement[][] = []
  readonly workers = new KeepingSink()
  readonly mail = new KeepingSink()
  readonly exchange: Exchange
  readonly stats: RouteStats
  /** Askers by way of an open connection that have left. */
  readonly gone = new Set<string>()
  readonly #toWorkers = new Dispatcher(this.workers, () => {})
  readonly #toAskers = new Dispatcher(this.mail, () => {})
  readonly #link = new LinkStats('api', 'open', 'source')
  readonly #routes: Readonly<Record<Way, AskingRoute>>
  #closeChannel = Promise.withResolvers<void>()

  constructor(request: Partial<RequestSettings> = {}, workers = 1) {
    this.exchange = new Exchange({
      ...{ gatewayId: 'here', protocolOf, log: silent },
      connectionOf: (name) => ({ name, protocol: 'mailed', format: undefined, settings: {} }),
      dispatcherOf: () => this.#toAskers,
    })
    const names = Array.from({ length: workers }, (_, n) => `w${n}`)
    this.stats = new RouteStats(
      'ask',
      names.map(() => new TargetStats('workers', 'mailed')),
      false,
      new ExchangeStats(),
    )
    const parts = { request: { ...requestSettings, ...request }, names }
    this.#routes = { open: this.#route('open', parts), mailed: this.#route('mailed', parts) }
    this.#toWorkers.resume()
    this.#toAskers.resume()
    this.openChannel()
  }

  /** The settings of both routes are one, and so are their figures. */
  #route(way: Way, { request, names }: { request: RequestSettings; names: readonly string[] }): AskingRoute {
    const to = names.map((name) => ({
      ...{ connection: 'workers', protocol: 'mailed', when: undefined, format: undefined, allow: undefined },
      settings: { name },
    }))
    const route: RouteConfig = {
      ...{ name: 'ask', from: { connection: 'api', protocol: way, format: undefined, settings: {} }, filter: [] },
      ...{ when: undefined, set: new Map(), match: 'all', order: 'key', to, acknowledge: 'answered', request },
      ...{ deduplicate: undefined, retry: { attempts: 2, delayMs: 1, maxDelayMs: 4 }, deadLetter: undefined },
    }
    const compiled = compileRoute(route, protocolOf)
    const store = { add: (letter: DeadLetter, safe: (id: number) => void) => this.#bury(letter, safe) }
    const deadLetters = new DeadLetterOffice({
      ...{ route: 'ask', store: store as unknown as DeadLetterStore, forwarder: undefined, log: silent },
    })
    const outlets = names.map(
      (_, index) =>
        new Outlet({
          ...{ id: `ask/${way}/${index}`, index, bit: 1 << index, order: 'key', retry: route.retry },
          ...{ dispatcher: this.#toWorkers, gatewayId: 'here', stats: this.stats.targets[index]!, log: silent },
          addressOf: (target) => `mailed://workers/${(target as { name: string }).name}`,
        }),
    )
    return this.exchange.route({ compiled, stats: this.stats, outlets, deadLetters })
  }

  /** Somebody asks; undefined key: its lane is its own. */
  ask(way: Way, key?: string, replyTo?: string): Asking {
    const asking: Asking = { question: `q${this.askings.length}`, way, answers: [], settlements: [] }
    this.askings.push(asking)
    const { question } = asking
    const own = { payload: Buffer.from(question), messageId: question, correlationId: `c-${question}`, key }
    const envelope = message({ ...own, ...(way === 'mailed' && { replyTo: replyTo ?? question }) })
    const answer = (reply: Reply) => Promise.resolve(this.#answer(asking, reply))
    this.#routes[way].received(
      {
        ...{ envelope, address: 'questions', ...(way === 'open' && { answer }) },
        settle: (how) => void asking.settlements.push(how),
      },
      {},
      { ms: performance.now(), at: Date.now(), link: this.#link },
    )
    return asking
  }

  /** What the workers were asked: question and token, the oldest first. */
  get asked(): readonly { question: string; token: string }[] {
    return this.workers.outbounds.map(({ envelope, ask }) => ({
      question: textOf(envelope.payload),
      token: ask?.token ?? '',
    }))
  }

  reply(token: string | undefined, text: string, fields: Parameters<typeof message>[0] = {}): void {
    const settlements: Settlement[] = []
    this.replySettlements.push(settlements)
    const envelope = message({ payload: Buffer.from(text), correlationId: token, ...fields })
    const reply = { envelope, params: {}, receivedAt: 0, settle: (how: Settlement) => void settlements.push(how) }
    this.exchange.heard(token, reply, this.#channel)
  }

  openChannel(): void {
    this.#closeChannel = Promise.withResolvers()
    void this.#channel.whileOpen(this.#closeChannel.promise)
  }

  closeChannel(): void {
    this.#closeChannel.resolve()
  }

  get size(): number {
    return this.#toWorkers.size
  }

  workersAway(isAway: boolean): void {
    if (isAway) this.#toWorkers.suspend()
    else this.#toWorkers.resume()
  }

  mailAway(isAway: boolean): void {
    if (isAway) this.#toAskers.suspend()
    else this.#toAskers.resume()
  }

  /** As the gateway stops. */
  async stop(): Promise<void> {
    const stopping = this.exchange.stop()
    await this.flush()
    this.#toWorkers.stop()
    this.#toAskers.stop()
    await stopping
    await this.flush()
  }

  async flush(): Promise<void> {
    for (let turn = 0; turn < 6; turn += 1) await nextTurn()
    for (const { envelope, target } of this.mail.outbounds.splice(0)) {
      const { to } = target as { to: string }
      const asking = this.askings.find(({ question }) => question === to)
      const code = envelope.headers['trivium-error']
      if (envelope.correlationId !== `c-${to}`) asking?.answers.push('the correlation of another')
      asking?.answers.push(code === undefined ? textOf(envelope.payload) : String(code))
    }
  }

  get #channel() {
    return this.exchange.channels.get('workers')!.link
  }

  #answer(asking: Asking, reply: Reply): Outcome {
    if (this.gone.has(asking.question)) return refused
    asking.answers.push(reply.kind === 'reply' ? textOf(reply.envelope.payload) : reply.error.code)
    return delivered
  }

  #bury(letter: DeadLetter, safe: (id: number) => void): void {
    this.letters.push(letter)
    setImmediate(() => safe(this.letters.length))
  }
}
