import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gatewayYaml, type Shape } from './gateway-yaml.ts'
import { type Cost, end, measure, usageOf } from './measure.ts'
import { type Filler, fillers } from './places.ts'
import { launcher, startReady } from './ready.ts'
import type { Addresses, Place, ProtocolName, Road, Task } from './task.ts'
import type { Web } from './web.ts'

const withinMs = 180_000
const bareLoop = join(import.meta.dirname, 'bare.ts')

/** One run: a full source, an empty target, one process that brings everything over. */
export class Runner {
  readonly #addresses: Addresses
  readonly #folder: string
  readonly #count: number
  readonly #profile: string | undefined
  readonly #fillers: Readonly<Record<ProtocolName, Filler>>

  constructor(parts: { addresses: Addresses; folder: string; count: number; profile: string | undefined; web: Web }) {
    this.#addresses = parts.addresses
    this.#folder = parts.folder
    this.#count = parts.count
    this.#profile = parts.profile
    this.#fillers = fillers(parts.addresses, parts.web)
  }

  gateway(road: Road, shape: Shape = {}): Promise<Cost> {
    return this.#run(
      road,
      (task) => {
        const file = this.#writeConfig(task, shape)
        const profiling = this.#profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${this.#profile}`]
        return [...profiling, launcher, 'run', file, '--log-level', 'warn']
      },
      shape.targets,
    )
  }

  /** CPU seconds until a gateway with so many routes is connected; its source is empty. */
  async startCpuSecs(road: Road, routes: number): Promise<number> {
    const [from, to] = [await this.#place(road.from), await this.#place(road.to)]
    const child = await startReady(this.#writeConfig({ from, to, addresses: this.#addresses }, { routes }))
    const { cpuSecs } = usageOf(child)
    await end(child)
    for (const { protocol, name } of [from, to]) await this.#fillers[protocol].remove(name)
    return cpuSecs
  }

  bare(road: Road, options: Pick<Task, 'withFields'> = {}): Promise<Cost> {
    return this.#run(road, (task) => ['--no-warnings', bareLoop, JSON.stringify({ ...task, ...options })])
  }

  async #run(road: Road, argsOf: (task: Task) => readonly string[], copies = 1): Promise<Cost> {
    const [from, to] = [await this.#place(road.from), await this.#place(road.to)]
    await this.#fillers[road.from].fill(from.name, this.#count)
    const counter = await this.#fillers[road.to].counter(to.name)
    try {
      const isDone = async () => (await counter.count()) >= this.#count * copies
      return await measure(argsOf({ from, to, addresses: this.#addresses }), isDone, withinMs)
    } finally {
      await counter.close()
      for (const { protocol, name } of [from, to]) await this.#fillers[protocol].remove(name)
    }
  }

  #writeConfig(task: Task, shape: Shape): string {
    const dataDir = join(this.#folder, task.from.name)
    const file = `${dataDir}.yaml`
    writeFileSync(file, gatewayYaml(task, dataDir, shape))
    return file
  }

  async #place<Name extends ProtocolName>(protocol: Name): Promise<Place<Name>> {
    const name = `bench-${randomUUID().slice(0, 8)}`
    await this.#fillers[protocol].prepare(name)
    return { protocol, name }
  }
}
