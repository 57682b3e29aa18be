import { protocols } from '../../protocols/index.ts'
import { loadConfigFile } from '../config/load.ts'
import { renderDiagnostics } from '../config/render.ts'
import type { GatewayConfig } from '../config/types.ts'
import { exitCodes } from './exit-codes.ts'

/** The file a command reads when none is named. */
export const configFileOf = (named: string | undefined): string => named ?? process.env.TRIVIUM_CONFIG ?? 'trivium.yaml'

/** A loaded configuration, or the exit code after everything that is wrong was printed. */
export function readConfig(named: string | undefined): GatewayConfig | number {
  const file = configFileOf(named)
  const loaded = loadConfigFile(file, { env: process.env, protocols })
  if (loaded === undefined) {
    console.error(`trivium: no such file: ${file}\nName one, or set TRIVIUM_CONFIG; "trivium help" shows examples.`)
    return exitCodes.noInput
  }
  if (loaded.diagnostics.length > 0) {
    console.error(renderDiagnostics(loaded.diagnostics, loaded.text, { color: process.stderr.isTTY }))
  }
  return loaded.config ?? exitCodes.config
}
