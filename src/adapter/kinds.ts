/** A mapping of one of several kinds, each told by a key that it has and no other. */
import { z } from 'zod'

export interface KindTexts {
  /** None of the keys that tell a kind is there; unused where that is a kind of its own. */
  readonly none?: string
  /** Keys of two kinds are; unused where one alone has such a key. */
  readonly several?: string
  /** `key` is one of the kind that `teller` tells. */
  readonly foreign: (key: string, teller: string) => string
}

interface KindsDef extends z.core.$ZodUnionDef {
  readonly byTeller: Readonly<Record<string, z.ZodObject>>
  readonly texts: KindTexts
  readonly otherwise: z.ZodObject | undefined
}

/**
 * A union whose option is chosen before anything is judged: a wrong key is told once and by its name, and each kind has keys
 * and defaults of its own. `byTeller`: the key that tells a kind -> its schema, a strict object; `otherwise`: that of a mapping
 * without any such key.
 */
export function kinds<
  const Kinds extends Readonly<Record<string, z.ZodObject>>,
  const Otherwise extends z.ZodObject = never,
>(byTeller: Kinds, texts: KindTexts, otherwise?: Otherwise): z.ZodType<z.output<Kinds[keyof Kinds] | Otherwise>> {
  const options = [...Object.values(byTeller), ...(otherwise === undefined ? [] : [otherwise])]
  const def: KindsDef = { type: 'union', options, byTeller, texts, otherwise }
  return new KindsType(def) as unknown as z.ZodType<z.output<Kinds[keyof Kinds] | Otherwise>>
}

const KindsType = z.core.$constructor<z.ZodUnion, KindsDef>('ZodKinds', (inst, def) => {
  z.ZodUnion.init(inst, def as never)
  inst._zod.parse = (payload, context) => {
    const written = mappingOf(payload.value)
    const [teller, another] = Object.keys(def.byTeller).filter((key) => written[key] !== undefined)
    const schema = another !== undefined ? undefined : teller === undefined ? def.otherwise : def.byTeller[teller]
    const issues = schema === undefined ? undecided(def, written, another) : foreignKeys(def, written, schema)
    payload.issues.push(...issues)
    if (schema === undefined) return payload
    const foreign = new Set(issues.map(({ path }) => path?.[0]))
    payload.value = Object.fromEntries(Object.entries(written).filter(([key]) => !foreign.has(key)))
    return schema._zod.run(payload, context)
  }
})

type Issue = z.core.$ZodRawIssue

function undecided(def: KindsDef, written: Record<string, unknown>, another: string | undefined): Issue[] {
  if (another !== undefined) return [custom([another], def.texts.several ?? 'it can be of one kind only')]
  const keys = Object.keys(written).filter((key) => tellerOf(def, key) === undefined)
  if (keys.length === 0) return [custom([], def.texts.none ?? 'nothing says of which kind it is')]
  return [{ code: 'unrecognized_keys', keys, input: written }]
}

function foreignKeys(def: KindsDef, written: Record<string, unknown>, schema: z.ZodObject): Issue[] {
  return Object.keys(written).flatMap((key) => {
    const teller = Object.hasOwn(schema.shape, key) ? undefined : tellerOf(def, key)
    return teller === undefined ? [] : [custom([key], def.texts.foreign(key, teller))]
  })
}

/** Of the first kind that has the key. */
function tellerOf({ byTeller }: KindsDef, key: string): string | undefined {
  return Object.keys(byTeller).find((teller) => Object.hasOwn(byTeller[teller]?.shape ?? {}, key))
}

function custom(path: string[], message: string): Issue {
  return { code: 'custom', path, message, input: undefined }
}

function mappingOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}
