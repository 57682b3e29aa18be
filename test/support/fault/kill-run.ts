/** The heart of the kill test and of `npm run torture`: load, SIGKILL at random times, heal, drain, verdict. */
import { setTimeout as sleep } from 'node:timers/promises'
import { brokerAddresses } from '../brokers/addresses.ts'
import { eventually } from '../poll.ts'
import type { Random } from '../random.ts'
import { removeMembers } from './kafka-members.ts'
import { Rig, type RigOptions, type RoadPlan, type RoadVerdict } from './rig.ts'
import type { Row } from './table.ts'

export interface KillPlan {
  readonly roads: readonly RoadPlan[]
  readonly kills: number
  /** At least so many, over all roads. */
  readonly messages: number
  readonly random: Random
  readonly options?: RigOptions
  /** Of the gateway's life once it is ready, in milliseconds. Default 200 to 1,500. */
  readonly lifeMs?: readonly [least: number, most: number]
  /** No further kills or messages after that time, in milliseconds; default: none. */
  readonly giveUpAfterMs?: number
  /** Called now and then. */
  readonly onProgress?: (progress: Progress) => void
}

export interface Progress {
  readonly kills: number
  readonly issued: number
  readonly delivered: number
}

export interface KillResult {
  readonly verdicts: readonly RoadVerdict[]
  readonly kills: number
  readonly issued: number
  /** Both counts of the plan were reached. */
  readonly isReached: boolean
  readonly peakBytes: number
  /** How the last life ended, on SIGTERM. */
  readonly exitCode: number | null
  readonly deadLetters: readonly string[]
  /** Innocent messages that were on their way in five starts in a row that were killed; they were sent again. */
  readonly convicted: number
  readonly secs: number
}

export async function killRun(plan: KillPlan): Promise<KillResult> {
  const startedAt = performance.now()
  const rig = await Rig.build(plan.roads, plan.options)
  try {
    await rig.gateway.start()
    rig.run()
    const isReached = await killAndRestart(rig, plan, startedAt)
    let convicted = await rig.requeuePoison()
    await rig.drain(120_000)
    convicted += await rig.requeuePoison()
    await rig.drain(120_000)
    const deadLetters = await rig.deadLetters()
    const peakBytes = rig.gateway.peakBytes()
    const { code } = await rig.gateway.stop()
    return {
      verdicts: rig.verdicts(rig.gateway.kills),
      kills: rig.gateway.kills,
      issued: rig.issued,
      isReached,
      peakBytes,
      exitCode: code,
      deadLetters,
      convicted,
      secs: (performance.now() - startedAt) / 1_000,
    }
  } finally {
    await rig.close()
  }
}

/** True when all kills and messages of the plan have happened. */
async function killAndRestart(rig: Rig, plan: KillPlan, startedAt: number): Promise<boolean> {
  const isLate = () => performance.now() - startedAt > (plan.giveUpAfterMs ?? Number.POSITIVE_INFINITY)
  const tell = () => plan.onProgress?.({ kills: rig.gateway.kills, issued: rig.issued, delivered: rig.delivered })
  const [least, most] = plan.lifeMs ?? [200, 1_500]
  while (rig.gateway.kills < plan.kills && !isLate()) {
    await sleep(plan.random.between(least, most))
    await rig.gateway.kill()
    tell()
    for (const { feed, plan: road } of rig.roads) {
      if (road.from === 'kafka') await removeMembers(brokerAddresses().kafka[0]!, feed.name).catch(() => {}) // saves 15 s
    }
    await rig.gateway.start()
  }
  const hasEnough = () => {
    tell()
    return rig.issued >= plan.messages || isLate()
  }
  await eventually(hasEnough, { withinMs: 3_600_000, what: 'enough messages' })
  return rig.issued >= plan.messages && rig.gateway.kills >= plan.kills
}

export function rowsOf(results: readonly KillResult[]): Row[] {
  return results.flatMap(({ verdicts, kills }) =>
    verdicts.map((v) => ({
      ...{ road: v.road, kills, issued: v.issued, acked: v.acked, delivered: v.delivered, missing: v.missing },
      ...{ spurious: v.spurious, corrupted: v.corrupted, inversions: v.inversions },
      ...{ 'not acked': v.unackedDelivered, duplicates: v.duplicates },
    })),
  )
}
