import { describe, expect, test } from '@jest/globals'
import type { Link } from '../../../protocols/mqtt/client/connection.ts'
import { HeldFilters, type Wanted } from '../../../protocols/mqtt/client/held-filters.ts'
import { intersections } from '../../../protocols/mqtt/client/subscription.ts'
import type { MqttFrom } from '../../../protocols/mqtt/config.ts'
import { testContext } from '../../support/contexts/context.ts'
import { FakeKept } from '../../support/contexts/kept.ts'

/** A broker's session, as far as filters go: identifiers by filter. */
class FakeSession {
  readonly filters = new Map<string, number | undefined>()
  readonly calls: string[] = []
  sessionPresent = false
  version = 5
  limits = { canIdentify: true }
  refuses = false

  async subscribe(filters: ReadonlyMap<string, number>, identifier?: number) {
    for (const filter of filters.keys()) this.filters.set(filter, identifier)
    this.calls.push(`+${[...filters.keys()]}`)
    return filters
  }

  async unsubscribe(filters: readonly string[]) {
    this.calls.push(`-${filters}`)
    if (this.refuses) return filters.map(() => 'not authorized')
    for (const filter of filters) this.filters.delete(filter)
    return filters.map(() => undefined)
  }
}

const from = (topic: string): MqttFrom => ({ topic, qos: 1 })
const wanted = (filter: string, ...readers: MqttFrom[]): Wanted => ({ filter, qos: 1, readers: new Set(readers) })

/** One process after another on one store and one session. */
function processes(kept = new FakeKept()) {
  const session = new FakeSession()
  const lines: string[] = []
  const line = (message: string) => void lines.push(message)
  const log = { debug: line, info: line, warn: line, error: line }
  const start = async (clientId: string, ...filters: Wanted[]): Promise<HeldFilters> => {
    const held = new HeldFilters(filters, clientId, testContext('plant', { kept, group: '', log }))
    await held.bring(session as unknown as Link, true)
    await held.letGo(session as unknown as Link)
    await kept.flushed()
    session.sessionPresent = true
    return held
  }
  return { session, lines, start, kept }
}

describe('the filters a session holds', () => {
  const [a, b, c] = [from('a'), from('b'), from('c')]

  test('have no identifiers while no topic matches two of them', async () => {
    const { session, start } = processes()
    const held = await start('id', wanted('x/+', a), wanted('y/#', b))
    expect([...session.filters.values()]).toEqual([undefined, undefined])
    expect(session.calls).toEqual(['+x/+,y/#'])
    expect(held.readersOf(undefined)).toBeUndefined()
  })

  test('tell copies apart where they intersect, one copy for both too', async () => {
    const { session, start } = processes()
    const held = await start('id', wanted('x/+/c', a), wanted('x/b/+', b, c), wanted('other', c))
    const [one, two] = [session.filters.get('x/+/c')!, session.filters.get('x/b/+')!]
    expect(session.filters.get('other')).toBeUndefined()
    expect(held.readersOf(one)).toEqual(new Set([a]))
    expect(held.readersOf(two)).toEqual(new Set([b, c]))
    expect(held.readersOf([one, two])).toEqual(new Set([a, b, c]))
    expect(held.readersOf([one, 5])).toBeUndefined()
  })

  test('are unsubscribed when no route wants them, after the new ones stand', async () => {
    const { session, start, lines, kept } = processes()
    await start('id', wanted('x/#', a))
    await start('id', wanted('x/+/c', a))
    expect(session.calls).toEqual(['+x/#', '+x/+/c', '-x/#'])
    expect(lines).toEqual(['unsubscribed from x/#, which no route reads any more'])
    expect(kept.size).toBe(1)
    await start('id', wanted('x/+/c', a))
    expect(session.calls.at(-1)).toBe('+x/+/c')
  })

  test('are asked for again to go where that was not confirmed', async () => {
    const { session, start, lines } = processes()
    await start('id', wanted('x/#', a))
    session.unsubscribe = () => Promise.reject(new Error('lost'))
    await start('id', wanted('y', a))
    expect(lines.at(-1)).toMatch(/not unsubscribed from x\/#.*\(lost\)/)
    session.unsubscribe = FakeSession.prototype.unsubscribe
    await start('id', wanted('y', a))
    expect([...session.filters.keys()]).toEqual(['y'])
  })

  test('that came back before they were gone stay', async () => {
    const { session, start } = processes()
    await start('id', wanted('x/+/c', a), wanted('x/b/+', b))
    session.unsubscribe = () => Promise.reject(new Error('lost'))
    await start('id', wanted('x/+/c', a))
    const held = await start('id', wanted('x/+/c', a), wanted('x/b/+', b))
    expect([...session.filters.keys()]).toEqual(['x/+/c', 'x/b/+'])
    expect(held.readersOf(session.filters.get('x/b/+'))).toEqual(new Set([b]))
  })

  test('leave copies behind for whom they served, and for readers that came after them', async () => {
    const { session, start } = processes()
    await start('id', wanted('x/+/c', a), wanted('x/b/+', b))
    const former = session.filters.get('x/+/c')!
    const held = await start('id', wanted('x/b/+', b), wanted('+/b/c', c))
    expect(held.readersOf(former)).toEqual(new Set([c]))
    const later = await start('id', wanted('x/b/+', b), wanted('+/b/c', c))
    expect(later.readersOf(former)).toEqual(new Set([c]))
    expect(later.readersOf(session.filters.get('x/b/+'))).toEqual(new Set([b]))
  })

  test('leave a copy each for its own where one filter takes the place of both', async () => {
    const { session, start } = processes()
    await start('id', wanted('x/+/c', a), wanted('x/b/+', b))
    const [one, two] = [session.filters.get('x/+/c')!, session.filters.get('x/b/+')!]
    for (const held of [await start('id', wanted('x/#', a, b)), await start('id', wanted('x/#', a, b))]) {
      expect(held.readersOf(one)).toEqual(new Set([a]))
      expect(held.readersOf(two)).toEqual(new Set([b]))
    }
  })

  test('are told where the broker refuses to let them go, and asked for at the next start', async () => {
    const { session, start, lines } = processes()
    await start('id', wanted('x/#', a))
    session.refuses = true
    await start('id', wanted('x/+', a))
    expect(lines.at(-1)).toContain('not unsubscribed from x/#')
    session.refuses = false
    await start('id', wanted('x/+', a))
    expect([...session.filters.keys()]).toEqual(['x/+'])
  })

  test('are forgotten with a session that is no more', async () => {
    const { session, start, kept, lines } = processes()
    await start('id', wanted('x/#', a), wanted('y', b))
    expect(lines).toEqual([])
    session.sessionPresent = false
    await start('id', wanted('z', a))
    expect(lines).toEqual([expect.stringContaining('has not kept the session of client id')])
    expect(session.calls).toEqual(['+x/#,y', '+z'])
    expect(kept.size).toBe(1)
  })

  test('of a former client id are told once', async () => {
    const { session, start, lines } = processes()
    await start('old', wanted('x/#', a))
    session.sessionPresent = false
    await start('new', wanted('x/#', a))
    await start('new', wanted('x/#', a))
    expect(lines.filter((line) => line.includes('session of client old'))).toHaveLength(1)
  })

  test('of a session that the store does not know are warned of', async () => {
    const { session, start, lines } = processes()
    session.sessionPresent = true
    await start('id', wanted('x/#', a))
    expect(lines).toEqual([expect.stringContaining('that the store does not remember')])
  })
})

test.each([
  ['a/+/c', 'a/b/+', true],
  ['a/+/c', '+/b/c', true],
  ['a/+/c', 'a/+/d', false],
  ['a/#', 'a', true],
  ['a/+', 'a', false],
  ['a/+/#', '+/b', true],
  ['+/b', '$SYS/b', false],
  ['#', '$SYS/b', false],
  ['$share/g/a/+', '$share/g/+/b', true],
])('%s and %s intersect: %s', (one, other, expected) => {
  expect(intersections([one, other]).length > 0).toBe(expected)
  expect(intersections([other, one]).length > 0).toBe(expected)
})
