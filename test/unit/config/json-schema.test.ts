import { describe, expect, test } from '@jest/globals'
import { protocols } from '../../../protocols/index.ts'
import { configJsonSchema } from '../../../src/config/schema/json-schema.ts'

/** Paths of all properties that lack a description. `if` only asks, it declares nothing. */
function undescribed(schema: unknown, path = '$'): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  return Object.entries(schema).flatMap(([keyword, value]) => {
    if (keyword === 'if') return []
    if (keyword !== 'properties') return undescribed(value, `${path}.${keyword}`)
    return Object.entries(value as Record<string, { description?: string }>).flatMap(([name, property]) => {
      const inner = undescribed(property, `${path}.${name}`)
      return property.description ? inner : [`${path}.${name}`, ...inner]
    })
  })
}

describe('the JSON Schema', () => {
  const schema = configJsonSchema(protocols)

  test('is draft-07', () => {
    expect(schema).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#', additionalProperties: false })
  })

  test('describes every property', () => {
    expect(undescribed(schema)).toEqual([])
  })

  test('finds a property without a description', () => {
    expect(undescribed({ properties: { a: { description: 'x', properties: { b: { type: 'string' } } } } })).toEqual([
      '$.a.b',
    ])
  })

  test('has the keys of every protocol', () => {
    const text = JSON.stringify(schema)
    for (const { name } of protocols) expect(text).toContain(`"const":"${name}"`)
    expect(text).toContain('"routingKey"')
  })
})
