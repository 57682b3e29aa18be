/** Whatever askers, workers, clocks and connections do, in whatever order: to each its own answer, and everything settled once. */
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { lost, refused } from '../scripted.ts'
import { World } from './world.ts'

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick'] })
})
afterEach(() => void jest.useRealTimers())

type Step =
  | { readonly ask: 'open' | 'mailed'; readonly key: string | undefined }
  | { readonly reply: number; readonly times: number }
  | { readonly strange: number }
  | { readonly wait: number }
  | { readonly away: 'workers' | 'mail' | 'channel'; readonly isAway: boolean }
  | { readonly gone: number }
  | { readonly worker: 'loses' | 'refuses' }
  | { readonly turn: true }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ ask: fc.constantFrom('open', 'mailed'), key: fc.constantFrom(undefined, 'k') }) },
  { weight: 6, arbitrary: fc.record({ reply: fc.nat(30), times: fc.integer({ min: 1, max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ strange: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ wait: fc.constantFrom(1, 400, 1_100) }) },
  { weight: 2, arbitrary: fc.record({ away: fc.constantFrom('workers', 'mail', 'channel'), isAway: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ gone: fc.nat(10) }) },
  { weight: 1, arbitrary: fc.record({ worker: fc.constantFrom('loses', 'refuses') }) },
  { weight: 4, arbitrary: fc.constant({ turn: true as const }) },
)

const strangers = [undefined, 'x', '0-0-0', `${'0'.repeat(24)}-0-1`]

async function play(world: World, next: Step): Promise<void> {
  if ('ask' in next) world.ask(next.ask, next.key)
  else if ('reply' in next) {
    const { asked } = world
    const one = asked[next.reply % Math.max(1, asked.length)]
    for (let n = 0; one !== undefined && n < next.times; n += 1) world.reply(one.token, `re:${one.question}`)
  } else if ('strange' in next) {
    const [instance, , , proof] = world.asked[0]?.token.split('-') ?? []
    world.reply([...strangers, `${instance}-0-2-${proof}`][next.strange], 'strange')
  } else if ('wait' in next) await jest.advanceTimersByTimeAsync(next.wait)
  else if ('away' in next) change(world, next)
  else if ('gone' in next) world.gone.add(`q${next.gone}`)
  else if ('worker' in next) {
    const outcome = next.worker === 'loses' ? lost : refused
    world.workers.answerOf = () => {
      world.workers.answerOf = undefined
      return outcome
    }
  } else await world.flush()
}

function change(world: World, { away, isAway }: { away: 'workers' | 'mail' | 'channel'; isAway: boolean }): void {
  if (away === 'workers') world.workersAway(isAway)
  else if (away === 'mail') world.mailAway(isAway)
  else if (isAway) world.closeChannel()
  else world.openChannel()
}

test('no reply reaches another asker, and each request and each reply is settled exactly once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.constantFrom('deadLetter' as const, 'drop' as const),
      fc.constantFrom(undefined, 'all' as const, 'first' as const),
      async (steps, late, complete) => {
        const scatter = complete && { complete, minimum: 1, aggregate: undefined }
        const world = new World({ late, scatter }, scatter === undefined ? 1 : 2)
        for (const next of steps) await play(world, next)
        await world.flush()
        await world.stop()
        for (const { question, answers, settlements } of world.askings) {
          expect(settlements).toHaveLength(1)
          expect(answers.length).toBeLessThanOrEqual(1)
          for (const answer of answers.flatMap(said)) expect([`re:${question}`, ...errors]).toContain(answer)
        }
        for (const settlements of world.replySettlements) expect(settlements).toHaveLength(1)
        const { replies, returned, late: tooLate, unknown, outstanding } = world.stats.exchange!
        expect({ replies, outstanding }).toEqual({ replies: returned + tooLate + unknown, outstanding: 0 })
        const { matched, delivered, released, deadLetteredTotal, inFlight } = world.stats
        expect({ matched, inFlight }).toEqual({ matched: delivered + released + deadLetteredTotal, inFlight: 0 })
        if (scatter !== undefined) return
        expect(returned).toBe(world.askings.filter(({ question, answers }) => answers[0] === `re:${question}`).length)
      },
    ),
    { numRuns: 300 },
  )
}, 60_000)

/** All that stands in one answer: of a scatter, what each target said. */
function said(answer: string): string[] {
  if (!answer.startsWith('{')) return [answer]
  const { results } = JSON.parse(answer) as { results: { ok: boolean; payload: string; error: { code: string } }[] }
  return results.map(({ ok, payload, error }) => (ok ? payload : error.code))
}

const errors = ['REPLY_TIMEOUT', 'GATEWAY_STOPPING', 'TARGET_BUSY', 'MESSAGE_REFUSED', 'TOO_FEW_REPLIES']
