import { protocols } from '../../protocols/index.ts'
import { loadConfigFile } from '../config/load.ts'
import type { Diagnostic } from '../config/report/diagnostic.ts'
import { renderDiagnostics } from '../config/report/render.ts'
import type { GatewayConfig } from '../config/schema/types.ts'
import { GatewayError } from '../errors.ts'
import { exitCodes } from './exit-codes.ts'

/** The file a command reads when none is named. */
export const configFileOf = (named: string | undefined): string => named ?? process.env.TRIVIUM_CONFIG ?? 'trivium.yaml'

/** What is in the file, right or wrong; or the exit code after it was told why it cannot be read. */
export function openConfig(file: string) {
  try {
    return loadConfigFile(file, { env: process.env, protocols })
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    console.error(`trivium: ${error.message}\nPass a file or set TRIVIUM_CONFIG; see "trivium help" for examples.`)
    return exitCodes.noInput
  }
}

/**
 * A loaded configuration, or the exit code after everything that is wrong was printed. Its warnings go to `onWarning`: a
 * command that only looks something up in it does not repeat them.
 */
export function readConfig(
  named: string | undefined,
  onWarning: (warning: Diagnostic) => void = () => {},
): GatewayConfig | number {
  const loaded = openConfig(configFileOf(named))
  if (typeof loaded === 'number') return loaded
  const { config, diagnostics, text } = loaded
  if (config === undefined) {
    console.error(renderDiagnostics(diagnostics, text, { color: process.stderr.isTTY }))
    return exitCodes.config
  }
  for (const warning of diagnostics) onWarning(warning)
  return config
}
