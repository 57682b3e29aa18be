/** Roads through one gateway process, with their producers, readers and judges. */
import { unique } from '../names.ts'
import { eventually } from '../poll.ts'
import { GatewayProcess } from './gateway-process.ts'
import { type LoadSink, type LoadSinkName, type LoadSinkOptions, makeLoadSink } from './load-sinks.ts'
import { type LoadSource, type LoadSourceName, type LoadSourceOptions, makeLoadSource } from './load-sources.ts'
import { defects, IssueLog, Oracle, type Verdict } from './oracle.ts'
import { SendRate } from './send-rate.ts'

/** Unsettled messages of the gateway at once: what a crash may send a second time. */
const maxInFlight = 500
/** From Kafka also what was settled since the last commit, half a second ago. */
const windowOf = ({ from }: RoadPlan): number => (from === 'kafka' ? 4 * maxInFlight : maxInFlight)

export interface RoadPlan {
  readonly from: LoadSourceName
  /** Several: every message goes to all of them. */
  readonly to: readonly LoadSinkName[]
  readonly feed?: LoadSourceOptions
  /** By kind of target. */
  readonly outletOf?: { readonly [kind in LoadSinkName]?: LoadSinkOptions }
  /** Messages a second. Default 400. */
  readonly perSecond?: number
  /** Further lines of the route's YAML, each `key: value`. */
  readonly route?: readonly string[]
}

export interface RigOptions {
  readonly acknowledge?: 'stored' | 'delivered'
  readonly dataDir?: string
  readonly env?: Readonly<Record<string, string>>
  readonly under?: readonly string[]
  /** Further keys of `gateway:`. */
  readonly gateway?: readonly string[]
  /** Further top-level YAML. */
  readonly yaml?: string
}

interface Branch {
  readonly outlet: LoadSink
  readonly oracle: Oracle
  readonly name: string
}

export interface Road {
  readonly name: string
  readonly plan: RoadPlan
  readonly feed: LoadSource
  readonly log: IssueLog
  readonly branches: readonly Branch[]
}

export interface RoadVerdict extends Verdict {
  readonly road: string
  readonly defects: readonly string[]
  readonly examples: readonly string[]
}

export class Rig {
  readonly roads: readonly Road[]
  readonly gateway: GatewayProcess
  /** What the gateway was given. */
  readonly yaml: string

  private constructor(roads: readonly Road[], gateway: GatewayProcess, yaml: string) {
    this.roads = roads
    this.gateway = gateway
    this.yaml = yaml
  }

  /** Makes queues, topics and the configuration; the gateway is not started yet. */
  static async build(plans: readonly RoadPlan[], options: RigOptions = {}): Promise<Rig> {
    const roads: Road[] = []
    try {
      for (const plan of plans) roads.push(await makeRoad(plan))
      const yaml = yamlOf(roads, options)
      return new Rig(roads, await GatewayProcess.create(yaml, options), yaml)
    } catch (error) {
      await Promise.allSettled(roads.map(closeRoad))
      throw error
    }
  }

  /** Lets the producers run; the gateway must have been ready once, so that its subscriptions exist. */
  run(): void {
    for (const { feed, log, plan } of this.roads) feed.run(log, new SendRate(plan.perSecond ?? 400))
  }

  get issued(): number {
    return this.roads.reduce((sum, { log }) => sum + log.issued, 0)
  }

  /** Different messages at the targets. */
  get delivered(): number {
    return this.#oracles().reduce((sum, oracle) => sum + oracle.delivered, 0)
  }

  /** Producers end once all they issued is acknowledged; then everything has to arrive. */
  async drain(withinMs = 60_000): Promise<void> {
    await this.gateway.whileAlive(Promise.all(this.roads.map(({ feed }) => feed.pause(withinMs))))
    await this.gateway.whileAlive(this.arrived(withinMs))
  }

  /** Resolves when all that was acknowledged has arrived; after that time the verdict will tell. */
  async arrived(withinMs = 60_000): Promise<void> {
    const areThere = () => this.#oracles().every((oracle) => oracle.isComplete)
    await eventually(areThere, { withinMs, what: 'all messages' }).catch(async () => {
      process.stdout.write(`not all has arrived: ${await this.#situation()}\n`)
    })
  }

  /** What the gateway says of itself, for whoever reads why a run failed. */
  async #situation(): Promise<string> {
    const pages = ['/readyz', '/api/v1/routes'].map(async (path) => {
      const response = await fetch(`${this.gateway.admin}${path}`, { signal: AbortSignal.timeout(10_000) })
      return await response.text()
    })
    const answers = (await Promise.allSettled(pages)).map((page) =>
      'value' in page ? page.value : String(page.reason),
    )
    return [...answers, ...this.gateway.log.slice(-30)].join('\n')
  }

  /** One verdict for each road and target; `restarts` is how often the gateway had to begin again. */
  verdicts(restarts: number): RoadVerdict[] {
    return this.roads.flatMap(({ branches, feed, plan }) =>
      branches.map(({ name, oracle }) => {
        const verdict = oracle.verdict()
        const duplicatesAtMost = windowOf(plan) * (restarts + feed.reconnects)
        return { road: name, ...verdict, defects: defects(verdict, { duplicatesAtMost }), examples: oracle.examples }
      }),
    )
  }

  /** Dead letters there are, of all lives: of which route, and why. */
  async deadLetters(): Promise<string[]> {
    const view = (await this.gateway.get('/api/v1/dead-letters')) as {
      deadLetters: { route: string; reason: string; error: { message: string } }[]
    }
    return view.deadLetters.map(({ route, reason, error }) => `${route}: ${reason}, ${error.message}`)
  }

  /** Sends those letters again that five starts in a row have made of a message each; how many. */
  async requeuePoison(): Promise<number> {
    const order = { reason: 'poison', limit: 500 }
    return ((await this.gateway.post('/api/v1/dead-letters/requeue', order)) as { requeued: number }).requeued
  }

  /** Removes everything; what cannot be removed stays. */
  async close(): Promise<void> {
    await this.gateway.remove()
    await Promise.allSettled(this.roads.map(closeRoad))
  }

  #oracles(): Oracle[] {
    return this.roads.flatMap(({ branches }) => branches.map(({ oracle }) => oracle))
  }
}

async function makeRoad(plan: RoadPlan): Promise<Road> {
  const feed = await makeLoadSource(plan.from, plan.feed)
  const log = new IssueLog()
  const branches: Branch[] = []
  for (const kind of plan.to) {
    const outlet = await makeLoadSink(kind, plan.outletOf?.[kind])
    const oracle = new Oracle(log)
    await outlet.listen(oracle)
    branches.push({ outlet, oracle, name: `${plan.from} -> ${kind}${plan.to.length > 1 ? ' (all)' : ''}` })
  }
  return { name: `${plan.from}-${plan.to.join('-')}-${feed.name}`, plan, feed, log, branches }
}

async function closeRoad({ feed, branches }: Road): Promise<void> {
  await feed.close().catch(() => {})
  await Promise.allSettled(branches.map(({ outlet }) => outlet.close()))
}

function yamlOf(roads: readonly Road[], options: RigOptions): string {
  const connections = new Map<string, string>()
  /** The name of a connection; equal ones are one. */
  const connect = (yaml: string): string => {
    const known = [...connections].find(([, other]) => other === yaml)
    const name = known?.[0] ?? `c${connections.size}`
    connections.set(name, yaml)
    return name
  }
  const routes = roads.map(({ name, plan, feed, branches }) => {
    const targets = branches.map(({ outlet }) => `{ connection: ${connect(outlet.connection)}, ${outlet.to('key')} }`)
    return [
      `  - name: ${name}`,
      `    from: { connection: ${connect(feed.connection)}, ${feed.from} }`,
      '    set: { key: payload.key }',
      `    to: [${targets.join(', ')}]`,
      ...(options.acknowledge === undefined ? [] : [`    acknowledge: ${options.acknowledge}`]),
      ...(plan.route ?? []).map((line) => `    ${line}`),
    ].join('\n')
  })
  const settings = [`id: ${unique('t')}`, `maxInFlight: ${maxInFlight}`, ...(options.gateway ?? [])]
  return [
    `gateway: { ${settings.join(', ')} }`,
    ...(options.yaml === undefined ? [] : [options.yaml]),
    'connections:',
    ...[...connections].map(([name, yaml]) => `  ${name}: ${yaml}`),
    'routes:',
    ...routes,
    '',
  ].join('\n')
}
