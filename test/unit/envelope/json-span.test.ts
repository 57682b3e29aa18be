import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { memberBytes } from '../../../src/envelope/json-span.ts'

function member(json: string, name = 'data'): string | undefined {
  return memberBytes(Buffer.from(json), name)?.toString()
}

function own(object: object, name: string): unknown {
  return Object.hasOwn(object, name) ? (object as Record<string, unknown>)[name] : undefined
}

/** Node 24's JSON.parse takes the name `"` for `\\` once it has seen an object with that: no names with a backslash here. */
function plain(name: string): string {
  return name.replaceAll('\\', '/')
}

describe('memberBytes', () => {
  it.each([
    ['{"data":1}', '1'],
    ['{ "a" : {"data":[1,"}"]} , "data" : { "b" : 1.0 } }', '{ "b" : 1.0 }'],
    ['{"a":"\\\\","data":"\\"}"}', '"\\"}"'],
    ['{"d\\u0061ta":null,"z":[]}', 'null'],
    ['{"data":1,"data":[2]}', '[2]'],
    ['{"ü":"ü","data":"ü"}', '"ü"'],
  ])('finds it in %s', (json, expected) => {
    expect(member(json)).toBe(expected)
  })

  it.each(['{}', '{"a":{"data":1}}', '{"a":"\\"data\\":1"}', '[]', '1', ''])('finds none in %j', (json) => {
    expect(member(json)).toBeUndefined()
  })

  it('finds what JSON.parse finds', () => {
    const object = fc.dictionary(fc.oneof(fc.string().map(plain), fc.constantFrom('data', '"')), fc.jsonValue(), {
      maxKeys: 5,
    })
    fc.assert(
      fc.property(object, fc.constantFrom(0, 1, '\t'), fc.string(), (value, space, name) => {
        const json = JSON.stringify(value, null, space)
        for (const each of [...Object.keys(value), name]) {
          const text = member(json, each)
          expect(text === undefined ? undefined : JSON.parse(text)).toEqual(own(JSON.parse(json), each))
        }
      }),
    )
  })

  it('gives something or nothing for bytes that are no JSON', () => {
    expect(member('{"\\')).toBeUndefined()
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void memberBytes(Buffer.from(bytes), 'data')))
    expect(true).toBe(true)
  })
})
