import { resolve } from 'node:path'
import { protocols } from '../../protocols/index.ts'
import type { AnyProtocol } from '../adapter/protocol.ts'
import { loadConfigFile } from '../config/load.ts'
import { renderDiagnostics } from '../config/report/render.ts'
import type { GatewayConfig } from '../config/schema/types.ts'
import { PermanentError } from '../errors.ts'

export interface LoadConfigOptions {
  /** What `${env:NAME}` and the variables `TRIVIUM_…` are read from; default: those of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Protocols beside those built in and those that the file names in `gateway.protocols`. */
  readonly protocols?: readonly AnyProtocol[]
}

/**
 * Reads a configuration and checks all of it, as `trivium validate` does; warnings are left out. Connects to nothing, but
 * runs the modules of `gateway.protocols`. Throws a PermanentError: FILE_MISSING, or CONFIG_INVALID with everything that is
 * wrong, each with its line and column.
 */
export function loadConfig(file: string, options: LoadConfigOptions = {}): GatewayConfig {
  const known = [...protocols, ...(options.protocols ?? [])]
  const loaded = loadConfigFile(resolve(file), { env: options.env ?? process.env, protocols: known })
  if (loaded.config !== undefined) return loaded.config
  const errors = loaded.diagnostics.filter(({ severity }) => severity === 'error')
  throw new PermanentError('CONFIG_INVALID', renderDiagnostics(errors, loaded.text, { color: false }))
}
