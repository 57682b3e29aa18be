import { createRequire } from 'node:module'
import { basename } from 'node:path'
import type { AnyProtocol } from '../../adapter/protocol.ts'

/** A module as `require` gives it, which loads ES modules too. Throws where it cannot be loaded. */
export const loadModule: (path: string) => unknown = createRequire(import.meta.url)

/** The protocols that a module exports, or why there are none. */
export function protocolsIn(name: string, load: (name: string) => unknown): readonly AnyProtocol[] | string {
  try {
    const found = Object.values(load(name) as object).filter(isMeantAsProtocol)
    const missing = found.flatMap((protocol) =>
      missingIn(protocol).map((part) => `\`${part}\` of protocol \`${protocol.name}\``),
    )
    if (missing.length > 0) return `${missing.join(', ')} is missing`
    return found.length > 0 ? found : 'it exports no protocol'
  } catch (error) {
    return whyNot(error as NodeJS.ErrnoException, name)
  }
}

function whyNot({ code, message }: NodeJS.ErrnoException, name: string): string {
  const [reason = ''] = String(message).split('\n') // the rest says what required it
  return code === 'MODULE_NOT_FOUND' && reason.includes(basename(name)) ? 'there is no such file' : reason
}

function isMeantAsProtocol(value: unknown): value is AnyProtocol {
  const { name, connection } = (value ?? {}) as Partial<Record<keyof AnyProtocol, unknown>>
  return typeof name === 'string' && connection !== undefined
}

/** What every end of a protocol has: JavaScript has no compiler that asks for it. */
const partsOf = {
  source: ['schema', 'patterns', 'group', 'create', 'defaultAcknowledge'],
  sink: ['schema', 'destinations', 'plainTemplates', 'address', 'targetOf', 'create'],
} as const

function missingIn(protocol: AnyProtocol): readonly string[] {
  const missing = isSchema(protocol.connection) ? [] : ['connection (a schema)']
  if (protocol.source === undefined && protocol.sink === undefined) return [...missing, 'source or sink']
  const ofEnd = (end: 'source' | 'sink') => {
    const has = protocol[end] as Readonly<Record<string, unknown>> | undefined
    return has === undefined
      ? []
      : partsOf[end].filter((part) => has[part] === undefined).map((part) => `${end}.${part}`)
  }
  return [...missing, ...ofEnd('source'), ...ofEnd('sink')]
}

function isSchema(value: unknown): boolean {
  return typeof (value as { safeParse?: unknown }).safeParse === 'function'
}
