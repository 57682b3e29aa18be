import { Command, InvalidArgumentError, Option } from 'commander'
import { deadLetterReasons } from '../../store/dead-letters.ts'
import { configArgument, configOption, placedBy } from '../config-argument.ts'
import { collect, examples as examplesOf } from '../help.ts'

/** `trivium dead-letters`; what it does is loaded when it is called. */
export function deadLettersCommand(): Command {
  const group = new Command('dead-letters')
    .description('Inspect messages that could not be delivered; edit, requeue or discard them.')
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
  return filtered(new Command('list').description('List dead letters, oldest first.'))
    .option('--limit <n>', 'maximum number of letters; default: 50')
    .option('--after <id>', 'only letters with ids above this one')
    .option('--json', 'print JSON')
    .addHelpText('after', examples(['list', 'list --reason rejected --where "payload.total > 1000"']))
    .argument(...configArgument)
    .action(async (config, options) => {
      const { list } = await import('./list.ts')
      process.exitCode = await list(placedBy(config, options))
    })
}

function showCommand(): Command {
  return placed(new Command('show').description('Show one dead letter and its message.'))
    .argument('<id>', 'dead letter id')
    .option('--json', 'print JSON')
    .option('--payload', 'write only the raw bytes of the payload')
    .addHelpText('after', examples(['show 17', 'show 17 --payload > payload.bin']))
    .argument(...configArgument)
    .action(async (id, config, options) => {
      const { show } = await import('./show.ts')
      process.exitCode = await show(id, placedBy(config, options))
    })
}

function requeueCommand(): Command {
  const summary = 'Send dead letters again, each only to the target that failed.'
  return worked(new Command('requeue').description(summary))
    .option('--delay <duration>', 'wait this long first, e.g. 5m')
    .option('--rate <n>', 'maximum messages per second and route')
    .option('--force', 'include letters that came back three times or have expired')
    .addHelpText('after', examples(['requeue 17 18', 'requeue --route orders --rate 50', 'requeue --all --dry-run']))
    .action(async (given, options) => {
      const { ids, config } = sorted(given)
      const { requeue } = await import('./requeue.ts')
      process.exitCode = await requeue(ids, placedBy(config, options))
    })
}

function editCommand(): Command {
  const summary = 'Edit the message of a dead letter; without options, as JSON in $EDITOR.'
  return placed(new Command('edit').description(summary))
    .argument('<id>', 'dead letter id')
    .option('--payload <text>', 'new payload')
    .addOption(new Option('--payload-file <file>', 'file with the new payload').conflicts('payload'))
    .option('--set-header <name=value>', 'header to set; repeatable', collect, [])
    .option('--remove-header <name>', 'header to remove; repeatable', collect, [])
    .option('--content-type <type>', 'content type of the payload')
    .option('--key <key>', 'ordering and partition key')
    .option('--type <eventType>', 'event type')
    .option('--priority <n>', '0 to 255')
    .option('--ttl <ms>', 'time to live in milliseconds after its timestamp, or none')
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
  return worked(new Command('discard').description('Delete dead letters permanently.'))
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
  return filtered(new Command('export').description('Export dead letters as JSON Lines.'))
    .argument('[id...]', 'dead letter ids (default: all that match), and the configuration file')
    .option('--out <file>', 'output file, readable only by you; default: standard output')
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
  if (files.length > 1) throw new InvalidArgumentError(`expected one configuration file, found ${files.join(' and ')}`)
  return { ids: given.filter((text) => !isFile(text)), config: files[0] }
}

/** Where to work. */
function placed(command: Command): Command {
  return command
    .option(...configOption)
    .option('--url <url>', 'ask the gateway at this URL, without a configuration; token: $TRIVIUM_ADMIN_TOKEN')
}

/** Which letters. */
function filtered(command: Command): Command {
  return placed(command)
    .option('--route <name>', 'only letters of this route')
    .addOption(new Option('--reason <reason>', 'only letters with this reason').choices(deadLetterReasons))
    .option('--older-than <duration>', 'only letters last tried longer ago than this, e.g. 1h')
    .option('--younger-than <duration>', 'only letters last tried more recently than this')
    .option(
      '--where <condition>',
      'only letters matching a CEL condition, e.g. "code == \'NOT_FOUND\' AND payload.total > 5"',
    )
}

/** What to do with them. */
function worked(command: Command): Command {
  return filtered(command)
    .argument('[id...]', 'dead letter ids, and the configuration file unless given by -c')
    .option('--all', 'all dead letters; required without ids or a filter')
    .option('--limit <n>', 'maximum number of letters')
    .option('--dry-run', 'only show what would be done')
    .option('--json', 'print the result as JSON')
}

const examples = (lines: readonly string[]) => examplesOf(lines.map((line) => `dead-letters ${line}`))
