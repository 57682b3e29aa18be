/** How every command that reads a configuration is given one: as an argument, by `-c`, or by the environment. */
import { InvalidArgumentError } from 'commander'

const meaning = 'configuration file; default: $TRIVIUM_CONFIG, else trivium.yaml'

/** For `Command.argument` and `Command.option`. */
export const configArgument = ['[config]', meaning] as const
export const configOption = ['-c, --config <file>', meaning] as const

/** The options with the file in them, however it was named. Throws where two are named. */
export function placedBy<T extends { readonly config?: string }>(config: string | undefined, options: T): T {
  if (config === undefined) return options
  if (options.config !== undefined && options.config !== config)
    throw new InvalidArgumentError(`two configuration files given: ${config} and ${options.config}`)
  return { ...options, config }
}
