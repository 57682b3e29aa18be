import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { version } from '../version.ts'
import { commands } from './commands.ts'
import { exitCodes } from './exit-codes.ts'
import { examples } from './help.ts'

/** The command line. Sets the process's exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', endQuietly)
  forgetEmpty()
  const program = buildProgram()
  try {
    await program.parseAsync(meant(argv), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error instanceof InvalidArgumentError) console.error(`trivium: ${error.message}`) // the others are told already
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  }
}

/** Nothing, or nothing but a configuration, means `run`. */
function meant(argv: readonly string[]): string[] {
  return /\.ya?ml$/.test(argv[0] ?? '.yaml') ? ['run', ...argv] : [...argv]
}

function buildProgram(): Command {
  const program = new Command('trivium')
    .description('A messaging gateway: bridges MQTT, AMQP and Kafka by declarative rules, and loses nothing.')
    .version(version, '-V, --version', 'print the version')
    .exitOverride()
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      examples([
        'run trivium.yaml',
        'validate trivium.yaml',
        'publish devices sensors/berlin/7/telemetry \'{"temperature":31.5}\'',
      ]),
    )
  for (const command of commands()) {
    program.addCommand(command.exitOverride().showHelpAfterError(`(see trivium help ${command.name()})`))
  }
  const names = program.commands.map((command) => command.name()).join(', ')
  return program.showHelpAfterError(`(commands: ${names}; see trivium help)`)
}

/** Whoever reads our output has seen enough: `trivium help | head`. */
function endQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit(exitCodes.ok)
}

/** A variable that is set but empty is one that is not set. */
function forgetEmpty(): void {
  for (const name of ['TRIVIUM_LOG_LEVEL', 'TRIVIUM_LOG_FORMAT']) if (process.env[name] === '') delete process.env[name]
}
