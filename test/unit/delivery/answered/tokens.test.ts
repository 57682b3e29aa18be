import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { numberOf, Tokens } from '../../../../src/delivery/answered/tokens.ts'

const number = fc.nat(2 ** 40)
const addressee = fc.record({ route: fc.nat(10_000), request: number, branch: fc.nat(1_000) })

describe('tokens', () => {
  const tokens = new Tokens()

  test('say which request and branch they are of, and fit where protocols put them', () => {
    fc.assert(
      fc.property(addressee, ({ route, request, branch }) => {
        const id = tokens.of(route, request)
        const ofBranch = tokens.of(route, request, branch)
        expect(tokens.read(id)).toEqual({ route, request, branch: 0 })
        expect(tokens.read(ofBranch)).toEqual({ route, request, branch })
        expect([numberOf(id), numberOf(ofBranch)]).toEqual([request, request])
        for (const token of [id, ofBranch]) expect(token).toMatch(/^[0-9a-z-]{1,64}$/)
      }),
    )
  })

  test('of one request tell nobody those of another: what is put together of them is none', () => {
    const [instance, route, , proof] = tokens.of(0, 1).split('-')
    expect(tokens.read([instance, route, '2', proof].join('-'))).toBeUndefined()
    expect(tokens.read([instance, '1', '1', proof].join('-'))).toBeUndefined()
    expect(tokens.read([instance, route, '1', '0', proof].join('-'))).toBeUndefined()
    expect(tokens.read([instance, route, '1'].join('-'))).toBeUndefined()
    expect(tokens.read(tokens.of(0, 1, 1).replace(/-1-(\w+)$/, '-2-$1'))).toBeUndefined()
  })

  test('of another start are foreign', () => {
    expect(new Tokens().read(tokens.of(0, 1))).toBe('foreign')
    expect(tokens.read(undefined)).toBeUndefined()
    expect(tokens.read('x')).toBeUndefined()
  })
})
