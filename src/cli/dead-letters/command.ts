import { Command, InvalidArgumentError, Option } from 'commander'
import { deadLetterReasons } from '../../store/dead-letters.ts'
import { configArgument, configOption, placedBy } from '../config-argument.ts'
import { collect, examples as examplesOf } from '../help.ts'

/** `trivium dead-letters`; what it does is loaded when it is called. */
export function deadLettersCommand(): Command {
  const group = new Command('dead-letters')
    .description('Look at messages that could not be delivered; mend them, send them again, or discard them.')
    .addHelpText(
      'after',
      examples([
        'list --route orders --younger-than 1h',
        'list bridge.yaml',
        'show 17',
        'requeue --route orders --dry-run',
        'requeue --route orders --rate 50',
        'edit 17 --payload \'{"total":12.5}\'',
        'discard --reason expired --older-than 30d',
        'export --out dead-letters.ndjson',
      ]),
    )
  for (const make of [listCommand, showCommand, requeueCommand, editCommand, discardCommand, exportCommand]) {
    group.addCommand(make().exitOverride().showHelpAfterError('(see trivium help dead-letters)'))
  }
  return group
}

function listCommand(): Command {
  return filtered(new Command('list').description('List dead letters, the oldest first.'))
    .option('--limit <n>', 'most letters; default 50')
    .option('--after <id>', 'only letters with higher ids')
    .option('--json', 'print them as JSON')
    .addHelpText('after', examples(['list', 'list --reason rejected --where "payload.total > 1000"']))
    .argument(...configArgument)
    .action(async (config, options) => {
      const { list } = await import('./list.ts')
      process.exitCode = await list(placedBy(config, options))
    })
}

function showCommand(): Command {
  return placed(new Command('show').description('Show one dead letter with its message.'))
    .argument('<id>', 'number of the dead letter')
    .option('--json', 'print it as JSON')
    .option('--payload', 'write the bytes of the payload and nothing else')
    .addHelpText('after', examples(['show 17', 'show 17 --payload > payload.bin']))
    .argument(...configArgument)
    .action(async (id, config, options) => {
      const { show } = await import('./show.ts')
      process.exitCode = await show(id, placedBy(config, options))
    })
}

function requeueCommand(): Command {
  const summary = 'Send dead letters to their routes again: to the target that failed, and to no other.'
  return worked(new Command('requeue').description(summary))
    .option('--delay <duration>', 'first wait so long, e.g. 5m')
    .option('--rate <n>', 'at most so many per second and route')
    .option('--force', 'also what came back three times already, or is expired')
    .addHelpText('after', examples(['requeue 17 18', 'requeue --route orders --rate 50', 'requeue --all --dry-run']))
    .action(async (given, options) => {
      const { ids, config } = sorted(given)
      const { requeue } = await import('./requeue.ts')
      process.exitCode = await requeue(ids, placedBy(config, options))
    })
}

function editCommand(): Command {
  const summary = 'Change the message of a dead letter; without options in $EDITOR, as JSON.'
  return placed(new Command('edit').description(summary))
    .argument('<id>', 'number of the dead letter')
    .option('--payload <text>', 'its new payload')
    .addOption(new Option('--payload-file <file>', 'a file with its new payload').conflicts('payload'))
    .option('--set-header <name=value>', 'a header; may be repeated', collect, [])
    .option('--remove-header <name>', 'a header to take away; may be repeated', collect, [])
    .option('--content-type <type>', 'content type of the payload')
    .option('--key <key>', 'ordering and partition key')
    .option('--type <eventType>', 'event type')
    .option('--priority <n>', '0 to 255')
    .option('--ttl <ms>', 'time to live in milliseconds from its timestamp, or none')
    .addHelpText(
      'after',
      examples(['edit 17', 'edit 17 --payload-file fixed.json --set-header site=berlin', 'edit 17 --ttl none']),
    )
    .argument(...configArgument)
    .action(async (id, config, options) => {
      const { edit } = await import('./edit.ts')
      process.exitCode = await edit(id, placedBy(config, options))
    })
}

function discardCommand(): Command {
  return worked(new Command('discard').description('Delete dead letters for good.'))
    .addHelpText(
      'after',
      examples(['discard 17', 'discard --reason expired --older-than 30d', 'discard --all --dry-run']),
    )
    .action(async (given, options) => {
      const { ids, config } = sorted(given)
      const { discard } = await import('./discard.ts')
      process.exitCode = await discard(ids, placedBy(config, options))
    })
}

function exportCommand(): Command {
  return filtered(new Command('export').description('Write dead letters as JSON, a line for each.'))
    .argument('[id...]', 'numbers of dead letters, none: all that the filter finds; and the configuration file')
    .option('--out <file>', 'a file that only you may read; default: standard output')
    .addHelpText(
      'after',
      examples(['export --out dead-letters.ndjson', 'export --route orders | jq .message.payloadText']),
    )
    .action(async (given, options) => {
      const { ids, config } = sorted(given)
      const { exportAll } = await import('./export.ts')
      process.exitCode = await exportAll(ids, placedBy(config, options))
    })
}

/** Numbers of letters, and a configuration file among them. */
function sorted(given: readonly string[]): { ids: string[]; config: string | undefined } {
  const isFile = (text: string) => /\.ya?ml$/.test(text)
  const files = given.filter(isFile)
  if (files.length > 1) throw new InvalidArgumentError(`one configuration file, not ${files.join(' and ')}`)
  return { ids: given.filter((text) => !isFile(text)), config: files[0] }
}

/** Where to work. */
function placed(command: Command): Command {
  return command
    .option(...configOption)
    .option('--url <url>', 'ask the gateway there, without any configuration; its token: $TRIVIUM_ADMIN_TOKEN')
}

/** Which letters. */
function filtered(command: Command): Command {
  return placed(command)
    .option('--route <name>', 'of this route')
    .addOption(new Option('--reason <reason>', 'with this reason').choices(deadLetterReasons))
    .option('--older-than <duration>', 'whose last attempt is longer ago, e.g. 1h')
    .option('--younger-than <duration>', 'whose last attempt is less long ago')
    .option(
      '--where <condition>',
      'for which a CEL condition holds, e.g. "code == \'NOT_FOUND\' AND payload.total > 5"',
    )
}

/** What to do with them. */
function worked(command: Command): Command {
  return filtered(command)
    .argument('[id...]', 'numbers of dead letters; and the configuration file, if it is not given by -c')
    .option('--all', 'all there are; needed where no id and no filter is given')
    .option('--limit <n>', 'no more than so many')
    .option('--dry-run', 'only tell what would be done')
    .option('--json', 'print the outcome as JSON')
}

const examples = (lines: readonly string[]) => examplesOf(lines.map((line) => `dead-letters ${line}`))
