/** `npm run docs`: writes the pages that are made from the code. A test fails when one of them is stale. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { protocols } from '../protocols/index.ts'
import type { AnyProtocol } from '../src/adapter/protocol.ts'
import { diagnosticCodes, severityOf } from '../src/config/report/codes.ts'
import { configJsonSchema } from '../src/config/schema/json-schema.ts'
import {
  connectionKeys,
  fromKeys,
  gatewaySection,
  replyFromKeys,
  requestKeys,
  routeKeys,
  scatterKeys,
  storeSection,
  targetKeys,
} from '../src/config/schema/schema.ts'
import { unionOptions } from '../src/config/schema/schema-walk.ts'
import { errorCodes } from '../src/errors.ts'
import { type FunctionRow, functionGroups } from '../src/routing/functions.ts'
import { errorMeanings } from './error-meanings.ts'
import { jsonText } from './json-text.ts'
import { tableOf } from './tables.ts'

const note = '<!-- Made by `npm run docs`; do not edit. -->'

/** Path below docs/ -> text, of every generated file. */
export function generatedPages(): ReadonlyMap<string, string> {
  return new Map([
    ['trivium.schema.json', `${jsonText(configJsonSchema(protocols))}\n`],
    ['errors.md', errorsPage()],
    ['config-errors.md', configErrorsPage()],
    ['reference/gateway.md', gatewayPage()],
    ['reference/routes.md', routesPage()],
    ['reference/expressions.md', expressionsPage()],
    ...protocols.map((protocol) => [`reference/${protocol.name}.md`, protocolPage(protocol)] as const),
  ])
}

function page(...parts: readonly string[]): string {
  return `${[note, ...parts].join('\n\n')}\n`
}

function protocolPage(protocol: AnyProtocol): string {
  const { name, summary, connection, source, sink } = protocol
  const common = 'Besides these, every connection has the keys of [gateway.md](gateway.md#connections).'
  return page(
    `# ${name}`,
    summary,
    `What may be relied on, and what can go wrong: [protocols/${name}/README.md](../../protocols/${name}/README.md).`,
    `## Connection\n\n\`connections.<name>\`, with \`protocol: ${name}\`. ${common}`,
    ...tablesOf(connection),
    ...(source
      ? [
          '## From\n\n`from` of a route. Besides these: `connection` and `format`.',
          tableOf(source.schema),
          acknowledgeOf(source.defaultAcknowledge),
        ]
      : []),
    ...(sink
      ? [
          '## Target\n\nAn entry of `to`, or `deadLetter`. Besides these: `connection`, `when`, `format`, `allow` and `maxDestinations`.',
          ...tablesOf(sink.schema),
          `May hold \`{expressions}\`: ${templatesOf(sink)}.`,
        ]
      : []),
  )
}

/** One for each kind of connection or target. */
function tablesOf(schema: z.ZodType): string[] {
  const kinds = unionOptions(schema) as readonly z.ZodType[]
  if (kinds.length === 0) return [tableOf(schema)]
  return kinds.flatMap((kind) => [`### ${kind.meta()?.title}`, tableOf(kind)])
}

function acknowledgeOf(byDefault: string): string {
  const deduplicated = byDefault === 'stored' ? '' : '; with `deduplicate` it has `stored`'
  return `A route that does not say has \`acknowledge: ${byDefault}\`${deduplicated}.`
}

function templatesOf(sink: NonNullable<AnyProtocol['sink']>): string {
  return [...Object.keys(sink.destinations), ...sink.plainTemplates].map((key) => `\`${key}\``).join(', ')
}

function gatewayPage(): string {
  return page(
    '# gateway, store and connections',
    'Durations are `200ms`, `5s`, `1m`, `2h`, `7d`; sizes `512B`, `64KiB`, `1MiB`. `${env:NAME}`, `${env:NAME:-default}` and `${file:/path}` may stand in any text.',
    '## gateway',
    tableOf(gatewaySection),
    '## store',
    'Messages of routes with `acknowledge: stored` wait in `gateway.dataDir` until every target has them; so do dead letters.',
    tableOf(storeSection),
    '## connections',
    'A mapping: name -> connection. Every connection has these keys, and those of its protocol.',
    tableOf(z.strictObject(connectionKeys)),
    `Protocols: ${protocols.map(({ name }) => `[${name}](${name}.md)`).join(', ')}.`,
  )
}

function routesPage(): string {
  return page(
    '# routes',
    'A list. A message takes every route whose `from` reads its address, and is acknowledged when all of them are done with it.',
    tableOf(z.strictObject(routeKeys)),
    '## from',
    'Required. Besides these, the keys of the protocol.',
    tableOf(z.strictObject(fromKeys)),
    '## to, deadLetter',
    '`to` is a list of at least one target; `deadLetter` is one target. Besides these, the keys of the protocol.',
    tableOf(z.strictObject(targetKeys)),
    '## request',
    'A reply is expected from the one target of `to`, and goes back to whoever asked. The rules of such a route see `request.id`.',
    tableOf(z.strictObject(requestKeys)),
    '`to`: where answers go, as one entry of `to` of the route; without a `connection`, through that of `from`. Without it they go to the address the asker named, or back on its open connection.',
    '`reply`: for targets whose protocol has no reply address, where their replies are read. Besides these, the keys of `from` of the protocol; `set` may stand alone.',
    tableOf(z.strictObject({ connection: fromKeys.connection, ...replyFromKeys })),
    '## scatter',
    'Replies are expected from all targets of `to`, at least two; what comes of them goes back to whoever asked. `to` as under `request`.',
    tableOf(z.strictObject(scatterKeys)),
    '## Expressions',
    '`when`, `set` and the `{…}` of a target: [expressions.md](expressions.md) has what they see, how they compare, and every function.',
  )
}

function expressionsPage(): string {
  return page(
    '# Expressions',
    '`when`, `set` and the `{…}` of a target are [CEL](https://cel.dev); so is `--where` of `trivium dead-letters`. `AND`, `OR`, `NOT` mean `&&`, `||`, `!`; NOT stands before all that it negates: `NOT a == b`. Whole and decimal numbers mix. In a target’s texts `{expression}` is replaced by its value; a literal brace is `{{` or `}}`.',
    '## What they see',
    expressionTable,
    '## A field that is not there',
    absence,
    '## Limits',
    'The rules of one route may take 50 ms of work or 64 MiB for one message. It is counted as they run: loop steps, what is compared, built and searched. What would go beyond is a dead letter, `expression-budget`. A regular expression searches 64 KiB of text, one of more than 20 instructions less.',
    '## Functions',
    ...functionGroups.flatMap(([title, rows]) => [`### ${title}`, functionTable(rows)]),
  )
}

function functionTable(rows: readonly FunctionRow[]): string {
  const lines = rows.map(({ call, summary, example, gives }) => {
    const shown = gives === undefined ? `\`${example}\`` : `\`${example}\` gives \`${JSON.stringify(gives)}\``
    return `| \`${call}\` | ${summary} | ${shown} |`
  })
  return ['| function | | example |', '|---|---|---|', ...lines].join('\n')
}

const absence = `A field that is not there is null. \`==\` with anything but null is false, \`!=\` is true. An order, \`in\`, or a function of it makes that comparison false and no more, so that
\`NOT\` of it is true; the same holds for a value of another kind, such as \`payload.temperature > 30\` where it is a string. \`filter\` compares alike.
\`trivium_rule_missing_fields_total\` counts both, unless the rest had decided. \`has(payload.x)\` tells a field that is null from one that is not there. A value that \`set\` or a
destination needs and cannot have makes a dead letter, which names the field.`

const expressionTable = `| name | is |
|---|---|
| \`payload\` | the body: JSON, \`payload.temperature\`, \`payload.items[0].id\`; else its text where it is UTF-8, \`payload == 'ON'\`; else its bytes. One with a content encoding is bytes; a byte order mark is skipped |
| \`params\` | what the pattern of \`from\` captured: \`params.site\` |
| \`headers\` | \`headers.contentType\`, \`headers.priority\`, \`headers.ttl\`, \`headers.retryCount\`, and custom ones by their name |
| \`extensions\` | extension attributes of a CloudEvent: \`extensions.traceparent\`; [formats](../formats.md) says more |
| \`request.id\` | in routes with \`request\` or \`scatter\`: the id that a reply brings back |
| \`results\` | in \`aggregate\` of a scatter: what its targets said, in the order of \`to\` |
| \`messageId\`, \`timestamp\`, \`source\`, \`destination\`, \`eventType\`, \`version\`, \`correlationId\`, \`key\`, \`replyTo\` | the envelope's own fields |`

function errorsPage(): string {
  const rows = errorCodes.map((code) => {
    const { meaning, whatToDo } = errorMeanings[code]
    return `| \`${code}\` | ${meaning} | ${whatToDo} |`
  })
  return page(
    '# Errors',
    'The code stands in log lines (`code`), in dead letters and in what commands print. Whether a message is tried again is decided case by case: a retryable error is tried again, a permanent one makes a dead letter.',
    ['| code | means | what to do |', '|---|---|---|', ...rows].join('\n'),
  )
}

function configErrorsPage(): string {
  const rows = Object.entries(diagnosticCodes).map(
    ([code, meaning]) => `| \`${code}\` | ${severityOf(code as keyof typeof diagnosticCodes)} | ${meaning} |`,
  )
  return page(
    '# Configuration errors',
    '`trivium validate` and `trivium run` print what they find in a file at once, each with file, line, column and, where there is one, the nearest valid name: of its syntax only the first mistake, and one in the shape of a part may hide others in it. `trivium run` logs warnings as lines. Errors exit with 78; warnings do not prevent a file from being used.',
    ['| code | | means |', '|---|---|---|', ...rows].join('\n'),
  )
}

function write(): void {
  for (const [name, text] of generatedPages()) {
    const file = join(import.meta.dirname, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    console.log(`docs/${name}`)
  }
}

if (import.meta.main) write()
