import { dirname, resolve } from 'node:path'
import type { AnyProtocol } from '../adapter/protocol.ts'
import { readBounded, readSmallFile } from '../adapter/small-file.ts'
import { PermanentError } from '../errors.ts'
import { checkCycles } from './checks/cycles.ts'
import { checkExposure, checkFiles } from './checks/files.ts'
import { checkRules } from './checks/rules.ts'
import { checkSecrets } from './checks/secrets.ts'
import { checkSharedSources } from './checks/shared-sources.ts'
import { checkSidecar, isOffered } from './checks/sidecar.ts'
import { ConfigDocument } from './read/document.ts'
import { loadModule } from './read/protocol-modules.ts'
import type { Diagnostic } from './report/diagnostic.ts'
import { Report } from './report/report.ts'
import { unreadableText } from './report/unreadable.ts'
import { readConnections } from './schema/connections.ts'
import { readGateway } from './schema/gateway-settings.ts'
import { withOwnProtocols } from './schema/own-protocols.ts'
import { reportUnknownKeys } from './schema/parts.ts'
import { readRoutes } from './schema/routes.ts'
import { isMapping, type LinkedScene, type RouteDraft, type Scene } from './schema/scene.ts'
import { readStore } from './schema/store-settings.ts'
import type { GatewayConfig, GatewaySettings } from './schema/types.ts'

export interface LoadOptions {
  /** Shown in diagnostics; relative `${file:…}` paths start in its directory. */
  readonly file: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Reads what `${file:…}` names, and the files that settings name; default: the file system. Throws when it cannot. */
  readonly readFile?: (path: string) => string
  readonly protocols: readonly AnyProtocol[]
  /** Loads a module of `gateway.protocols`, by its path; default: `require`, which takes ES modules too. Throws when it cannot. */
  readonly loadModule?: (path: string) => unknown
}

export interface Loaded {
  /** undefined when a diagnostic is an error. */
  readonly config: GatewayConfig | undefined
  /** In the order of the file. */
  readonly diagnostics: readonly Diagnostic[]
}

/** Reads a configuration and says everything that is wrong with it at once. Never throws for what the text holds. */
export function loadConfig(text: string, options: LoadOptions): Loaded {
  const read = readScene(text, options)
  if ('diagnostics' in read) return read
  const { report } = read
  checkSections(read)
  const gateway = readGateway(read, options.env)
  const store = readStore(read)
  const scene: LinkedScene = { ...read, connections: readConnections(read) }
  checkNamedFiles(scene, options)
  if (gateway?.sidecar !== undefined) checkSidecar(scene, gateway.sidecar)
  const drafts = readRoutes(scene)
  checkSharedSources(scene, drafts)
  const readable = drafts.filter((draft) => checkRules(scene, draft))
  checkCycles(scene, readable)
  if (!report.hasErrors) warnOfUnused(scene, drafts, gateway) // a misspelt name is one mistake, not two
  report.hide(checkSecrets(scene))

  const { diagnostics } = report
  if (gateway === undefined || store === undefined || report.hasErrors) return { config: undefined, diagnostics }
  const routes = drafts.flatMap(({ config }) => config ?? [])
  const protocols = [...scene.protocols.values()]
  return { config: { gateway, store, connections: scene.connections.valid, routes, protocols }, diagnostics }
}

/** The text as values with their places; what is wrong with it where there is nothing to go on with. */
function readScene(text: string, { file, env, readFile, ...options }: LoadOptions): Scene | Loaded {
  const readBeside = (path: string) => readSmallFile(besideOf(file, path)).toString('utf8')
  const document = new ConfigDocument(text, { env, readFile: readFile ?? readBeside })
  const report = new Report(document, file)
  for (const { code, message, help, ...span } of document.problems) report.addAt(code, message, span, { help })
  const root = readRoot(document, report)
  if (root === undefined) return { config: undefined, diagnostics: report.diagnostics }
  const load = (name: string) => (options.loadModule ?? loadModule)(besideOf(file, name))
  return { root, document, report, protocols: withOwnProtocols(options.protocols, root.gateway, { report, load }) }
}

/** Their rights can be looked at on the file system alone. */
function checkNamedFiles(scene: LinkedScene, { file, readFile }: LoadOptions): void {
  checkFiles(scene, readFile ?? readSmallFile)
  if (readFile === undefined) checkExposure(scene, (path) => besideOf(file, path))
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
  const help = 'a configuration has `connections:` and `routes:`'
  if (value === null) report.addWithoutPlace('TRV1004', 'the file is empty', { help })
  else report.add('TRV1005', 'the configuration is not a mapping', { path: [], on: 'value' }, { help })
  return undefined
}

const sections = ['gateway', 'store', 'connections', 'routes']

function checkSections(scene: Scene): void {
  const { root, report } = scene
  const meant = reportUnknownKeys(scene, [], root, { allowed: sections })
  for (const section of ['connections', 'routes']) {
    if (Object.hasOwn(root, section) || meant.has(section)) continue
    if (section === 'routes' && hasSidecar(root)) continue
    report.add('TRV2002', `missing key \`${section}\` in the configuration`, { path: [], on: 'key' })
  }
}

/** Its API makes use of connections without any route. */
const hasSidecar = ({ gateway }: Scene['root']) => isMapping(gateway) && isMapping(gateway.sidecar)

function warnOfUnused(scene: LinkedScene, drafts: readonly RouteDraft[], gateway: GatewaySettings | undefined): void {
  const { report, connections } = scene
  const used = new Set(
    drafts.flatMap(({ raw, reply, targets }) =>
      [raw.from, reply?.raw, ...targets.map((target) => target.raw)].map(nameIn),
    ),
  )
  for (const name of connections.names.filter((one) => !used.has(one) && !isOffered(scene, gateway?.sidecar, one))) {
    report.add('TRV4003', `connection \`${name}\` is used by no route`, { path: ['connections', name], on: 'key' })
  }
}

function nameIn(part: unknown): unknown {
  return isMapping(part) ? part.connection : undefined
}
