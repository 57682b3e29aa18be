import type { z } from 'zod'
import type { AnyProtocol } from '../adapter/protocol.ts'
import { childSchemas, isSecret } from './schema-walk.ts'
import { secretName } from './secrets.ts'
import type { GatewayConfig, TargetConfig } from './types.ts'

const shown = '***'

/**
 * The configuration as plain data that may be shown: secrets (by the `secret` mark of their schema, and by name where a
 * schema forgot it) and passwords in URLs read `***`; maps are objects.
 */
export function redact(config: GatewayConfig, protocols: readonly AnyProtocol[]): Record<string, unknown> {
  const protocolOf = (name: string) => protocols.find((protocol) => protocol.name === name)
  const redactTarget = (target: TargetConfig) => ({
    ...target,
    settings: redactValue(target.settings, schemas(protocolOf(target.protocol)?.sink?.schema)),
  })
  const connections = Array.from(config.connections, ([name, connection]) => {
    const settings = redactValue(connection.settings, schemas(protocolOf(connection.protocol)?.connection))
    return [name, { ...connection, settings }]
  })
  const routes = config.routes.map((route) => ({
    ...route,
    from: {
      ...route.from,
      settings: redactValue(route.from.settings, schemas(protocolOf(route.from.protocol)?.source?.schema)),
    },
    set: Object.fromEntries(route.set),
    to: route.to.map(redactTarget),
    deadLetter: route.deadLetter && redactTarget(route.deadLetter),
  }))
  return {
    gateway: redactValue(config.gateway, []),
    connections: Object.fromEntries(connections),
    routes,
  }
}

type Schemas = readonly z.core.$ZodType[]

function schemas(schema: z.ZodType | undefined): Schemas {
  return schema === undefined ? [] : [schema]
}

function redactValue(value: unknown, expected: Schemas, name = ''): unknown {
  if (value === undefined || value === null) return value
  const isHidden = expected.some(isSecret) || secretName.test(name)
  if (typeof value === 'string') return isHidden && !isUrl(value) ? hide(value) : hideUrlPasswords(value)
  if (typeof value !== 'object') return isHidden ? shown : value
  const inner = (key: string, one: unknown) =>
    redactValue(
      one,
      expected.flatMap((schema) => childSchemas(schema, key)),
      key,
    )
  if (Array.isArray(value)) return value.map((one, index) => inner(String(index), one))
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inner(key, one)]))
}

function hide(text: string): string {
  return text === '' ? '' : shown
}

function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/]/i.test(text)
}

/** The password is all up to the last `@` before the path: a raw `@` in it must not uncover its end. */
export function hideUrlPasswords(text: string): string {
  return text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/[^\s/?#@:]*):[^\s/?#]*@/gi, `$1:${shown}@`)
}
