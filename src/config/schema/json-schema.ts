import { z } from 'zod'
import type { AnyProtocol } from '../../adapter/protocol.ts'
import {
  connectionKeys,
  fromKeys,
  gatewaySection,
  partDescriptions,
  replyFromKeys,
  replyKeys,
  requestKeys,
  routeKeys,
  scatterKeys,
  storeSection,
  targetKeys,
} from './schema.ts'

/** A draft-07 schema, as far as it is put together here. */
interface JsonSchema {
  [keyword: string]: unknown
  properties?: Record<string, JsonSchema>
  required?: string[]
}

/**
 * The grammar as a draft-07 JSON Schema, for editors. A connection says its protocol, so `if`/`then` gives exactly that
 * protocol's keys and precise messages. A `from` or target names a connection, whose protocol a JSON Schema cannot look
 * up: there `anyOf` offers the keys of every protocol. That completes and describes each key and catches misspelt ones,
 * but lets an MQTT key pass on a Kafka connection, and its messages are vague: `trivium validate` is the judge.
 */
export function configJsonSchema(protocols: readonly AnyProtocol[]): object {
  const sources = protocols.flatMap(({ name, summary, source }) => (source ? [{ name, summary, ...source }] : []))
  const sinks = protocols.flatMap(({ name, summary, sink }) => (sink ? [{ name, summary, ...sink }] : []))
  const from = { description: partDescriptions.from, anyOf: sources.map((source) => compose(fromKeys, source)) }
  const targets = sinks.map((sink) => compose(targetKeys, sink))
  const route = toJson(z.strictObject(routeKeys))
  const answerTo = { description: partDescriptions.answerTo, anyOf: targets.map(withoutNeed('connection')) }
  const changes = { ...toJson(z.strictObject(replyKeys)), description: partDescriptions.reply }
  const reads = sources.map((source) => compose({ ...fromKeys, ...replyFromKeys }, source))
  const reply = { description: partDescriptions.reply, anyOf: [changes, ...reads] }
  const ownPart = {
    from,
    to: {
      description: partDescriptions.to,
      type: 'array',
      minItems: 1,
      items: { description: partDescriptions.target, anyOf: targets },
    },
    deadLetter: { description: partDescriptions.deadLetter, anyOf: targets },
    request: conversation('request', { answerTo, reply }),
    scatter: conversation('scatter', { answerTo }),
  }
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Trivium configuration',
    type: 'object',
    properties: {
      gateway: { ...toJson(gatewaySection), description: partDescriptions.gateway },
      store: { ...toJson(storeSection), description: partDescriptions.store },
      connections: {
        description: partDescriptions.connections,
        type: 'object',
        additionalProperties: connectionSchema(protocols),
      },
      routes: {
        description: partDescriptions.routes,
        type: 'array',
        items: {
          ...route,
          description: partDescriptions.route,
          properties: { ...route.properties, ...ownPart },
          required: [...(route.required ?? []), 'from', 'to'],
        },
      },
    },
    required: ['connections', 'routes'],
    additionalProperties: false,
  }
}

/** `request` or `scatter`. */
function conversation(
  kind: 'request' | 'scatter',
  { answerTo, reply }: { answerTo: JsonSchema; reply?: JsonSchema },
): JsonSchema {
  const own = toJson(z.strictObject(kind === 'request' ? requestKeys : scatterKeys))
  const parts = { to: answerTo, ...(reply && { reply }) }
  return { ...own, description: partDescriptions[kind], properties: { ...own.properties, ...parts } }
}

const withoutNeed =
  (key: string) =>
  (schema: JsonSchema): JsonSchema => ({ ...schema, required: schema.required?.filter((name) => name !== key) ?? [] })

function connectionSchema(protocols: readonly AnyProtocol[]): JsonSchema {
  const names = protocols.map(({ name }) => name)
  const { description } = connectionKeys.protocol.meta() ?? {}
  return {
    type: 'object',
    properties: { protocol: { description, enum: names } },
    required: ['protocol'],
    allOf: protocols.map(({ name, summary, connection }) => ({
      if: { properties: { protocol: { const: name } }, required: ['protocol'] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: compose(connectionKeys, { summary, schema: connection }),
    })),
  }
}

/** The keys every such part has, and those of one protocol, as one closed object. */
function compose(
  common: Readonly<Record<string, z.ZodType>>,
  { summary, schema }: { summary: string; schema: z.ZodType },
): JsonSchema {
  return { ...withKeys(toJson(schema), toJson(z.strictObject(common))), description: summary }
}

/** Adds keys to an object, or to each object of a choice. */
function withKeys(own: JsonSchema, shared: JsonSchema): JsonSchema {
  const { anyOf, oneOf, ...rest } = own
  const options = (anyOf ?? oneOf) as JsonSchema[] | undefined
  if (options !== undefined) return { ...rest, anyOf: options.map((option) => withKeys(option, shared)) }
  return {
    ...own,
    properties: { ...shared.properties, ...own.properties },
    required: [...(shared.required ?? []), ...(own.required ?? [])],
  }
}

function toJson(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { target: 'draft-7', io: 'input', unrepresentable: 'any' })
  return json as JsonSchema
}
