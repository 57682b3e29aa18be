import { renderDiagnostics } from '../config/report/render.ts'
import { configFileOf, openConfig } from './config-file.ts'
import { exitCodes } from './exit-codes.ts'
import { counted } from './words.ts'

/** Checks each file; resolves with the gravest exit code. */
export async function validate(
  files: readonly string[],
  options: { json?: boolean; denyWarnings?: boolean },
): Promise<number> {
  const codes = (files.length > 0 ? files : [configFileOf(undefined)]).map((file) => validateFile(file, options))
  return Math.max(...codes)
}

function validateFile(file: string, options: { json?: boolean; denyWarnings?: boolean }): number {
  const loaded = openConfig(file)
  if (typeof loaded === 'number') return loaded
  const { diagnostics, config, text } = loaded
  if (options.json) console.log(JSON.stringify({ file, diagnostics }))
  else if (diagnostics.length > 0) console.log(renderDiagnostics(diagnostics, text, { color: process.stdout.isTTY }))
  if (config === undefined) return exitCodes.config
  const { routes, connections } = config
  if (!options.json)
    console.log(`${file}: ${counted(routes.length, 'route')}, ${counted(connections.size, 'connection')}, valid`)
  return options.denyWarnings && diagnostics.length > 0 ? exitCodes.found : exitCodes.ok
}
