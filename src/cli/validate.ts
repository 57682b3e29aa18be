import { protocols } from '../../protocols/index.ts'
import { loadConfigFile } from '../config/load.ts'
import { renderDiagnostics } from '../config/render.ts'
import { configFileOf } from './config-file.ts'
import { exitCodes } from './exit-codes.ts'

/** Checks each file; resolves with the gravest exit code. */
export async function validate(
  files: readonly string[],
  options: { json?: boolean; denyWarnings?: boolean },
): Promise<number> {
  const codes = (files.length > 0 ? files : [configFileOf(undefined)]).map((file) => validateFile(file, options))
  return Math.max(...codes)
}

function validateFile(file: string, options: { json?: boolean; denyWarnings?: boolean }): number {
  const loaded = loadConfigFile(file, { env: process.env, protocols })
  if (loaded === undefined) {
    console.error(`trivium: no such file: ${file}`)
    return exitCodes.noInput
  }
  const { diagnostics, config, text } = loaded
  if (options.json) console.log(JSON.stringify({ file, diagnostics }))
  else if (diagnostics.length > 0) console.log(renderDiagnostics(diagnostics, text, { color: process.stdout.isTTY }))
  if (config === undefined) return exitCodes.config
  if (!options.json)
    console.log(`${file}: ${config.routes.length} route(s), ${config.connections.size} connection(s), valid`)
  return options.denyWarnings && diagnostics.length > 0 ? exitCodes.found : exitCodes.ok
}
