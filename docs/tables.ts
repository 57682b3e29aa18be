/** Markdown tables from JSON Schemas, which the schemas of the configuration give. */
import { z } from 'zod'

interface Schema {
  readonly description?: string
  readonly type?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly examples?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly additionalProperties?: Schema | boolean
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
}

interface Row {
  readonly key: string
  readonly type: string
  readonly default: string
  readonly description: string
}

/** One row for each key of an object schema, nested keys with a dot; throws where a key has no description. */
export function tableOf(schema: z.ZodType): string {
  const [input, output] = (['input', 'output'] as const).map(
    (io) => z.toJSONSchema(schema, { target: 'draft-7', io, unrepresentable: 'any' }) as Schema,
  ) as [Schema, Schema]
  const rows = rowsOf(withDefaults(input, output), '')
  const lines = rows.map((row) => `| \`${row.key}\` | ${row.type} | ${row.default} | ${row.description} |`)
  return ['| key | value | default | |', '|---|---|---|---|', ...lines].join('\n')
}

/** What a user writes is the input; a default that is set behind a transformation stands in the output alone. */
function withDefaults(input: Schema, output: Schema | undefined): Schema {
  const properties = Object.entries(input.properties ?? {}).map(([name, part]) => {
    return [name, withDefaults(part, output?.properties?.[name])] as const
  })
  const filled = input.default === undefined && output?.default !== undefined ? { default: output.default } : {}
  return { ...input, ...filled, ...(input.properties && { properties: Object.fromEntries(properties) }) }
}

function rowsOf(schema: Schema, prefix: string): Row[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, part]) => {
    const key = `${prefix}${name}`
    const isRequired = schema.required?.includes(name) === true && part.default === undefined
    return [rowOf(key, part, isRequired), ...nestedRows(part, key)]
  })
  return [...own, ...choices(schema).flatMap((option) => rowsOf(option, prefix))]
}

function nestedRows(schema: Schema, key: string): Row[] {
  const inList = schema.items === undefined ? [] : nestedRows(schema.items, `${key}[]`)
  const inChoices = choices(schema).flatMap((option) => nestedRows(option, key))
  return [...(schema.properties === undefined ? [] : rowsOf(schema, `${key}.`)), ...inList, ...inChoices]
}

function rowOf(key: string, schema: Schema, isRequired: boolean): Row {
  if (schema.description === undefined) throw new Error(`${key} has no description`)
  const [example] = schema.examples ?? []
  const suffix = example === undefined ? '' : ` Example: ${code(example)}.`
  return {
    key,
    type: typeOf(schema),
    default: isRequired ? '**required**' : defaultText(schema),
    description: inCell(`${schema.description}${suffix}`),
  }
}

const choices = (schema: Schema): readonly Schema[] => schema.anyOf ?? schema.oneOf ?? schema.allOf ?? []

function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return code(schema.const)
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ')
  const options = choices(schema)
  if (options.length > 0) return [...new Set(options.map(typeOf))].join(' or ')
  if (isDuration(schema)) return 'duration'
  if (isSize(schema)) return 'size'
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`
  if (schema.type === 'object') return 'mapping'
  return schema.type ?? 'any'
}

const isDuration = ({ pattern }: Schema): boolean => pattern?.includes('(ms|s|m|h|d)') === true
const isSize = ({ pattern }: Schema): boolean => pattern?.includes('(B|KiB|MiB|GiB)') === true

const durations = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const
const sizes = [
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
  ['B', 1],
] as const

/** The default as a user would write it: what a transformation has made a number gets its unit back. */
function defaultText(schema: Schema): string {
  const value = schema.default
  if (value === undefined || JSON.stringify(value) === '{}') return ''
  return code(typeof value === 'number' ? withUnit(value, schema) : value)
}

function withUnit(value: number, schema: Schema): unknown {
  const units = isDuration(schema) ? durations : isSize(schema) ? sizes : []
  const unit = units.find(([, factor]) => value >= factor && value % factor === 0)
  return unit === undefined ? value : `${value / unit[1]}${unit[0]}`
}

function code(value: unknown): string {
  return `\`${inCell(typeof value === 'string' && value !== '' ? value : JSON.stringify(value))}\``
}

const inCell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
