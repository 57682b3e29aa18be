import { dirname, resolve } from 'node:path'
import type { AnyProtocol } from '../adapter/protocol.ts'
import { readBounded, readSmallFile } from '../adapter/small-file.ts'
import { PermanentError } from '../errors.ts'
import { checkCycles } from './checks/cycles.ts'
import { checkExposure, checkFiles } from './checks/files.ts'
import { checkRules } from './checks/rules.ts'
import { type Connections, isMapping, type RouteDraft, type Scene } from './checks/scene.ts'
import { checkSecrets } from './checks/secrets.ts'
import { checkSharedSources } from './checks/shared-sources.ts'
import { ConfigDocument } from './read/document.ts'
import type { Diagnostic } from './report/diagnostic.ts'
import { Report } from './report/report.ts'
import { unreadableText } from './report/unreadable.ts'
import { readConnections } from './schema/connections.ts'
import { readGateway } from './schema/gateway-settings.ts'
import { reportUnknownKeys } from './schema/parts.ts'
import { readRoutes } from './schema/routes.ts'
import { readStore } from './schema/store-settings.ts'
import type { GatewayConfig } from './schema/types.ts'

export interface LoadOptions {
  /** Shown in diagnostics; relative `${file:…}` paths start in its directory. */
  readonly file: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Reads what `${file:…}` names, and the files that settings name; default: the file system. Throws when it cannot. */
  readonly readFile?: (path: string) => string
  readonly protocols: readonly AnyProtocol[]
}

export interface Loaded {
  /** undefined when a diagnostic is an error. */
  readonly config: GatewayConfig | undefined
  /** In the order of the file. */
  readonly diagnostics: readonly Diagnostic[]
}

/** Reads a configuration and says everything that is wrong with it at once. Never throws for what the text holds. */
export function loadConfig(text: string, options: LoadOptions): Loaded {
  const readFile = options.readFile ?? ((path: string) => readSmallFile(besideOf(options.file, path)).toString('utf8'))
  const document = new ConfigDocument(text, { env: options.env, readFile })
  const report = new Report(document, options.file)
  for (const { code, message, help, ...span } of document.problems) report.addAt(code, message, span, { help })
  const root = readRoot(document, report)
  if (root === undefined) return { config: undefined, diagnostics: report.diagnostics }

  const protocols = new Map(options.protocols.map((protocol) => [protocol.name, protocol]))
  const scene: Scene = { root, document, report, protocols }
  checkSections(scene)
  const gateway = readGateway(scene, options.env)
  const store = readStore(scene)
  const connections = readConnections(scene)
  checkFiles(scene, connections, options.readFile ?? readSmallFile)
  if (options.readFile === undefined) checkExposure(scene, connections, (path) => besideOf(options.file, path))
  const drafts = readRoutes(scene, connections)
  checkSharedSources(scene, connections, drafts)
  const readable = drafts.filter((draft) => checkRules(scene, draft))
  checkCycles(scene, connections, readable)
  // a misspelt name is one mistake, not two
  if (!report.hasErrors) warnOfUnused(scene, connections, drafts)
  report.hide(checkSecrets(scene, connections))

  const routes = drafts.flatMap(({ config }) => config ?? [])
  const isUsable = gateway !== undefined && store !== undefined && !report.hasErrors
  return {
    config: isUsable ? { gateway, store, connections: connections.valid, routes } : undefined,
    diagnostics: report.diagnostics,
  }
}

/** Where a `${file:…}` is looked for. */
function besideOf(file: string, path: string): string {
  return resolve(dirname(file), path)
}

/** The same from a file; the text comes back for `renderDiagnostics`. Throws PermanentError FILE_MISSING. */
export function loadConfigFile(path: string, options: Omit<LoadOptions, 'file'>): Loaded & { readonly text: string } {
  const text = readConfigFile(path)
  return { ...loadConfig(text, { ...options, file: path }), text }
}

function readConfigFile(path: string): string {
  try {
    return readBounded(path)
      .toString('utf8')
      .replace(/^\uFEFF/, '')
  } catch (cause) {
    throw new PermanentError('FILE_MISSING', unreadableText(path, cause), { cause })
  }
}

function readRoot(document: ConfigDocument, report: Report): Record<string, unknown> | undefined {
  const { value } = document
  if (value === undefined) return undefined
  if (isMapping(value)) return value
  const help = 'a configuration begins with `connections:` and `routes:`'
  if (value === null) report.addWithoutPlace('TRV1004', 'the file holds no configuration', { help })
  else report.add('TRV1005', 'the configuration is not a mapping', { path: [], on: 'value' }, { help })
  return undefined
}

const sections = ['gateway', 'store', 'connections', 'routes']

function checkSections(scene: Scene): void {
  const { root, report } = scene
  const meant = reportUnknownKeys(scene, [], root, sections)
  for (const section of ['connections', 'routes']) {
    if (Object.hasOwn(root, section) || meant.has(section)) continue
    report.add('TRV2002', `missing key \`${section}\` in the configuration`, { path: [], on: 'key' })
  }
}

function warnOfUnused({ report }: Scene, connections: Connections, drafts: readonly RouteDraft[]): void {
  const used = new Set(
    drafts.flatMap(({ raw, targets }) => [raw.from, ...targets.map((target) => target.raw)].map(nameIn)),
  )
  for (const name of connections.names.filter((one) => !used.has(one))) {
    report.add('TRV4003', `connection \`${name}\` is used by no route`, { path: ['connections', name], on: 'key' })
  }
}

function nameIn(part: unknown): unknown {
  return isMapping(part) ? part.connection : undefined
}
