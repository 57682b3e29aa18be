import { createRequire } from 'node:module'
import { basename } from 'node:path'
import type { AnyProtocol } from '../../adapter/protocol.ts'

/** A module as `require` gives it, which loads ES modules too. Throws where it cannot be loaded. */
export const loadModule: (path: string) => unknown = createRequire(import.meta.url)

/** The protocols that a module exports, or why there are none. */
export function protocolsIn(name: string, load: (name: string) => unknown): readonly AnyProtocol[] | string {
  try {
    const found = Object.values(load(name) as object).filter(isProtocol)
    return found.length > 0 ? found : 'it exports no protocol'
  } catch (error) {
    return whyNot(error as NodeJS.ErrnoException, name)
  }
}

function whyNot({ code, message }: NodeJS.ErrnoException, name: string): string {
  const [reason = ''] = String(message).split('\n') // the rest says what required it
  return code === 'MODULE_NOT_FOUND' && reason.includes(basename(name)) ? 'there is no such file' : reason
}

function isProtocol(value: unknown): value is AnyProtocol {
  const { name, connection, source, sink } = (value ?? {}) as Partial<Record<keyof AnyProtocol, unknown>>
  const isSchema = typeof (connection as { safeParse?: unknown } | undefined)?.safeParse === 'function'
  return typeof name === 'string' && isSchema && (source !== undefined || sink !== undefined)
}
