/** What the tests of outages, drains and dead letters share: load, and what must hold after. */

import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { unique } from '../names.ts'
import type { BrokerName } from '../places/connections.ts'
import { keyOf, type Place, type Reader } from '../places/places.ts'
import { eventually } from '../poll.ts'
import { TestGateway } from './gateway.ts'

/** What one test has made; the last made goes first. */
export class Scope {
  readonly #cleanups: (() => unknown)[] = []

  after(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup)
  }

  async use<T extends { close(): Promise<unknown> }>(making: Promise<T>): Promise<T> {
    const made = await making
    this.after(() => made.close())
    return made
  }

  /** A gateway; its end checks the invariant. */
  gateway(yaml: string, dataDir?: string): TestGateway {
    const gateway = new TestGateway(yaml, dataDir)
    this.after(() => gateway.stop())
    return gateway
  }

  async end(): Promise<void> {
    const failures: unknown[] = []
    for (const cleanup of this.#cleanups.splice(0).reverse()) {
      try {
        await cleanup()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}

/** A test that may run beside others of its file: it owns what it makes. */
export function scenario(title: string, body: (scope: Scope) => Promise<void>, timeoutMs = 120_000): void {
  test.concurrent(title, () => inScope(body), timeoutMs)
}

export async function inScope(body: (scope: Scope) => Promise<void>): Promise<void> {
  const scope = new Scope()
  try {
    await body(scope)
  } catch (error) {
    await scope.end().catch(() => {}) // the first failure is the one to show
    throw error
  }
  await scope.end()
}

const keys = ['red', 'green', 'blue', 'white', 'black']
let lastNumber = 0
/** That many new messages of a few keys. */
export function texts(count: number): string[] {
  return Array.from({ length: count }, () => {
    lastNumber += 1
    return JSON.stringify({ key: keys[lastNumber % keys.length], n: lastNumber })
  })
}
/** The same, in the YAML of a route's `set`: the message's own key. */
export const setKey = 'set: { key: payload.key }'

export interface Load {
  /** Confirmed by the broker: must arrive. */
  readonly confirmed: string[]
  /** Sent when the broker went away: may arrive. */
  readonly unsure: string[]
  stop(): Promise<void>
}

/** About 1,000 messages a second until `stop`, or until the broker goes away. */
export async function steadyLoad(scope: Scope, place: Place): Promise<Load> {
  const sender = await scope.use(place.sender())
  const confirmed: string[] = []
  const unsure: string[] = []
  let isWanted = true
  const run = async () => {
    while (isWanted) {
      const batch = texts(20)
      try {
        await sender.send(batch)
        confirmed.push(...batch)
      } catch {
        unsure.push(...batch)
        return
      }
      await pause(20) // the pace
    }
  }
  const running = run()
  const stop = async () => {
    isWanted = false
    await running
  }
  scope.after(stop)
  return { confirmed, unsure, stop }
}

/** All that must be there is there, nothing that was never sent, and each key's first copies in order. */
export function checkNothingLost(
  got: readonly { text: string }[],
  sent: readonly string[],
  unsure: string[] = [],
): void {
  const first = [...new Set(got.map(({ text }) => text))]
  const arrived = new Set(first)
  const isSent = new Set([...sent, ...unsure])
  expect({ missing: sent.filter((text) => !arrived.has(text)) }).toEqual({ missing: [] })
  expect({ unknown: first.filter((text) => !isSent.has(text)) }).toEqual({ unknown: [] })
  for (const key of keys) {
    const numbers = first.filter((text) => keyOf(text) === key).map((text) => (JSON.parse(text) as { n: number }).n)
    expect({ key, numbers }).toEqual({ key, numbers: numbers.toSorted((a, b) => a - b) })
  }
}

/** Resolves when every text has arrived at least once. */
export async function arrived(reader: Reader, sent: readonly string[], withinMs = 90_000): Promise<void> {
  let seen = 0
  const missing = new Set(sent)
  await eventually(
    () => {
      for (; seen < reader.got.length; seen += 1) missing.delete(reader.got[seen]!.text)
      return missing.size === 0
    },
    { withinMs, what: `${sent.length} messages` },
  ).catch((error: unknown) => {
    const which = `numbers ${rangesOf(sent, missing)} of ${sent.length} are missing`
    throw new Error(`${which}: ${missing.size}; ${reader.got.length} arrived`, { cause: error })
  })
}

/** Where in the order of sending they are: it tells whether what is missing was sent before, in or after an outage. */
function rangesOf(sent: readonly string[], missing: ReadonlySet<string>): string {
  const ranges: [number, number][] = []
  for (const [at, text] of sent.entries()) {
    if (!missing.has(text)) continue
    const last = ranges.at(-1)
    if (last?.[1] === at - 1) last[1] = at
    else ranges.push([at, at])
  }
  const shown = ranges.slice(0, 20).map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`))
  return `${shown.join(', ')}${ranges.length > 20 ? ', ...' : ''}`
}

/** A stable broker for the other end of a road. */
export const otherOf: Record<BrokerName, BrokerName> = { mqtt: 'kafka', kafka: 'amqp', amqp: 'mqtt' }

export interface Road {
  readonly from: Place
  readonly to: Place
}

/** Out of the place under test into a stable one, and out of another stable one into the place under test. */
export const bothWays = (a: Road, b: Road) => `
gateway: { id: ${unique('t')}, drain: 5s, admin: false }
connections:
  shaky: ${a.from.connection}
  inlet: ${b.from.connection}
  outlet: ${a.to.connection}
routes:
  - name: out-of
    from: { connection: shaky, ${a.from.from} }
    ${setKey}
    to: [{ connection: outlet, ${a.to.to} }]
    retry: { attempts: 2 }
  - name: into
    from: { connection: inlet, ${b.from.from} }
    ${setKey}
    to: [{ connection: shaky, ${b.to.to} }]
    retry: { attempts: 2 }
`
