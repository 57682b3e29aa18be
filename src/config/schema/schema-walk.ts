/** Questions about a schema as a value: which keys stand where, what is secret. The only file that looks inside zod. */
import type { z } from 'zod'

type Schema = z.core.$ZodType

/** The schemas a value may meet here: wrappers taken off, unions opened. */
function alternatives(schema: Schema): Schema[] {
  const { def } = (schema as z.core.$ZodTypes)._zod
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return alternatives(def.innerType)
    case 'pipe':
      return alternatives(isTransform(def.in) ? def.out : def.in)
    case 'lazy':
      return alternatives(def.getter())
    case 'union':
      return def.options.flatMap(alternatives)
    case 'intersection':
      return [...alternatives(def.left), ...alternatives(def.right)]
    default:
      return [schema]
  }
}

/** Options of the union at this place, wrappers taken off but nothing else opened. */
export function unionOptions(schema: Schema): readonly Schema[] {
  const { def } = (schema as z.core.$ZodTypes)._zod
  if (def.type === 'union') return def.options
  if ('innerType' in def) return unionOptions(def.innerType as Schema)
  if (def.type === 'pipe') return unionOptions(isTransform(def.in) ? def.out : def.in)
  if (def.type === 'lazy') return unionOptions(def.getter())
  return []
}

/** Schemas of the value one key or index further in; empty where none is declared. */
function childSchemas(schema: Schema, key: PropertyKey): Schema[] {
  return alternatives(schema).flatMap((one) => {
    const { def } = (one as z.core.$ZodTypes)._zod
    if (def.type === 'object') return own(def.shape, key) ?? def.catchall ?? []
    if (def.type === 'array') return [def.element]
    if (def.type === 'record') return [def.valueType]
    if (def.type === 'tuple') return def.items[Number(key)] ?? []
    return []
  })
}

/** A file may name a key `constructor` or `toString`, which every object seems to have. */
function own(shape: Readonly<Record<string, Schema>>, key: PropertyKey): Schema | undefined {
  return Object.hasOwn(shape, key) ? shape[String(key)] : undefined
}

/** Schemas at the end of a path. */
export function schemasAt(schema: Schema, path: readonly PropertyKey[]): Schema[] {
  return path.reduce<Schema[]>((found, key) => found.flatMap((one) => childSchemas(one, key)), [schema])
}

/** Names an object here may have, over all alternatives. */
export function keysOf(schema: Schema): string[] {
  const keys = alternatives(schema).flatMap((one) => {
    const { def } = (one as z.core.$ZodTypes)._zod
    return def.type === 'object' ? Object.keys(def.shape) : []
  })
  return [...new Set(keys)]
}

export const isSecret = (schema: Schema): boolean => isMarked(schema, 'secret')

/** True for the address of a peer, which may hold a password. */
export const isAddress = (schema: Schema): boolean => isMarked(schema, 'address')

/** True for the name of a file that a connection will read. */
export const isFile = (schema: Schema): boolean => isMarked(schema, 'file')

/** True for one that nobody else should read. */
export const isPrivateFile = (schema: Schema): boolean => isMarked(schema, 'private')

/** True when any layer of the schema carries the mark in its `meta`. */
function isMarked(schema: Schema, mark: string): boolean {
  if ((schema as z.ZodType).meta?.()?.[mark] === true) return true
  const { def } = (schema as z.core.$ZodTypes)._zod
  if ('innerType' in def) return isMarked(def.innerType as Schema, mark)
  if (def.type === 'pipe') return isMarked(def.in, mark) || isMarked(def.out, mark)
  if (def.type === 'union') return def.options.some((option) => isMarked(option, mark))
  return false
}

function isTransform(schema: Schema): boolean {
  return schema._zod.def.type === 'transform'
}
