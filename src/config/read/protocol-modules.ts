import { statSync } from 'node:fs'
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
    return whyNot(error, name)
  }
}

function whyNot(error: unknown, name: string): string {
  const { code, message } = Object(error) as NodeJS.ErrnoException
  const [reason = ''] = String(message ?? error).split('\n') // the rest says what required it
  if (code === 'ERR_REQUIRE_ASYNC_MODULE') return 'it uses top-level `await`; await in `open` instead'
  // Node keeps the place of it to itself
  if (error instanceof SyntaxError) return `syntax error: ${reason}; \`node --check ${name}\` shows where`
  if (code !== 'MODULE_NOT_FOUND' || !reason.includes(basename(name))) return reason
  return isDirectory(/'(.*)'/.exec(reason)?.[1]) ? 'it is a directory; name the file in it' : 'no such file'
}

const isDirectory = (path: string | undefined): boolean =>
  path !== undefined && (statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false)

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
