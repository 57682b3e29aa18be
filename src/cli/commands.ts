/** The commands, as `trivium help` shows them. A command's own module is loaded only when it is called. */
import { Command, Option } from 'commander'
import { logLevels } from '../telemetry/log.ts'
import { version } from '../version.ts'
import { configArgument, configOption, placedBy } from './config-argument.ts'
import { deadLettersCommand } from './dead-letters/command.ts'
import type { HealthOptions } from './health.ts'
import { collect, examples } from './help.ts'
import type { PublishCommandOptions } from './publish.ts'
import type { RunOptions } from './run.ts'

/** In the order of `trivium help`. */
export function commands(): readonly Command[] {
  return [
    ...[runCommand(), validateCommand(), publishCommand(), deadLettersCommand()],
    ...[healthCommand(), schemaCommand(), versionCommand()],
  ]
}

function runCommand(): Command {
  return new Command('run')
    .description('Run the gateway in the foreground until SIGINT, SIGTERM or SIGHUP (the default command).')
    .argument(...configArgument)
    .option(...configOption)
    .addOption(
      new Option('--log-level <level>', 'least severe level to log')
        .choices(logLevels)
        .env('TRIVIUM_LOG_LEVEL')
        .default('info'),
    )
    .addOption(
      new Option('--log-format <format>', 'log format; auto: text on a terminal, JSON otherwise')
        .choices(['auto', 'text', 'json'])
        .env('TRIVIUM_LOG_FORMAT')
        .default('auto'),
    )
    .addHelpText('after', examples(['run', 'run bridge.yaml', 'run bridge.yaml --log-level debug --log-format json']))
    .action(async (named: string | undefined, options: RunOptions & { config?: string }) => {
      const { run } = await import('./run.ts')
      const { config } = placedBy(named, options)
      process.exit(await run(config, options)) // all is settled and closed: no handle that is left may keep it alive
    })
}

function validateCommand(): Command {
  return new Command('validate')
    .description('Check configuration files without connecting to anything; report all mistakes at once.')
    .argument('[config...]', 'configuration files; default: $TRIVIUM_CONFIG, else trivium.yaml')
    .option('-c, --config <file>', 'configuration file, same as the argument')
    .option('--json', 'print diagnostics as JSON')
    .option('--deny-warnings', 'exit with 1 if there are warnings')
    .addHelpText(
      'after',
      examples(['validate', 'validate bridge.yaml other.yaml', 'validate --deny-warnings bridge.yaml']),
    )
    .action(async (files: string[], options: { json?: boolean; denyWarnings?: boolean; config?: string }) => {
      const { validate } = await import('./validate.ts')
      const { config } = options
      process.exitCode = await validate(config === undefined ? files : [...files, config], options)
    })
}

function publishCommand(): Command {
  return new Command('publish')
    .description('Publish a message through a configured connection and wait for the confirmation.')
    .argument('<connection>', 'connection name')
    .argument('<destination>', 'MQTT topic, Kafka topic, or AMQP exchange/routing-key or queue')
    .argument('[body]', 'payload; @file reads a file; - or nothing reads standard input')
    .option(...configOption)
    .option('-H, --header <name=value>', 'header; repeatable', collect, [])
    .option('-k, --key <key>', 'ordering and partition key')
    .option('--type <eventType>', 'event type')
    .option('--content-type <type>', 'content type of the payload')
    .option('--format <format>', 'binary, envelope, cloudevents or raw')
    .option('--count <n>', 'how many times to publish it', '1')
    .addHelpText(
      'after',
      examples([
        'publish devices sensors/berlin/7/telemetry \'{"temperature":31.5}\'',
        'publish events telemetry.berlin -k 7 --type Reading @reading.json',
      ]),
    )
    .action(
      async (connection: string, destination: string, body: string | undefined, options: PublishCommandOptions) => {
        const { publish } = await import('./publish.ts')
        process.exitCode = await publish({ connection, destination, body }, options)
      },
    )
}

function healthCommand(): Command {
  return new Command('health')
    .description('Check whether a running gateway is ready; exits with 0 or 1. For container health checks.')
    .option('--url <url>', 'admin server to ask; default: $TRIVIUM_ADMIN_LISTEN, else the one in the configuration')
    .option('--live', 'check that it is alive, not that everything is connected')
    .option(...configOption)
    .argument(...configArgument)
    .addHelpText(
      'after',
      examples(['health', 'health bridge.yaml', 'health --live', 'health --url http://127.0.0.1:7070']),
    )
    .action(async (config: string | undefined, options: HealthOptions) => {
      const { health } = await import('./health.ts')
      process.exitCode = await health(placedBy(config, options))
    })
}

function schemaCommand(): Command {
  return new Command('schema')
    .description('Print the JSON Schema (draft-07) of the configuration, for editors.')
    .addHelpText('after', examples(['schema > trivium.schema.json']))
    .action(async () => {
      const { schema } = await import('./schema.ts')
      schema()
    })
}

function versionCommand(): Command {
  return new Command('version')
    .description('Print the version.')
    .option('--json', 'print JSON, with the Node version')
    .addHelpText('after', examples(['version', 'version --json']))
    .action(({ json }: { json?: boolean }) => {
      console.log(json ? JSON.stringify({ version, node: process.versions.node }) : version)
    })
}
