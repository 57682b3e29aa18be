/** What the bundled packages ask for: their licences come along. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Package {
  readonly name: string
  readonly version: string
  readonly license: string
  /** The texts of its licence files. */
  readonly texts: readonly string[]
}

/** Writes `THIRD-PARTY-LICENSES.md`. Throws where a package of the bundle has no licence that may be passed on. */
export function writeLicences(directory: string, modules: readonly string[]): void {
  const folders = new Set(modules.flatMap((id) => folderOf(id) ?? []))
  const packages = [...folders].map(read).sort((one, other) => (one.name < other.name ? -1 : 1))
  const title = 'These packages are part of the files in this directory.'
  writeFileSync(join(directory, 'THIRD-PARTY-LICENSES.md'), [title, ...packages.map(section)].join('\n\n'))
}

/** The folder of the package a module belongs to; undefined for our own. */
function folderOf(id: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id)?.[0]
}

const allowed = ['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'BlueOak-1.0.0']

function read(folder: string): Package {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Omit<Package, 'texts'>
  const { name, version, license } = manifest
  if (!allowed.includes(license)) throw new Error(`build: ${name} has the licence ${license}`)
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
  return { name, version, license, texts: files.map((file) => readFileSync(join(folder, file), 'utf8').trim()) }
}

function section({ name, version, license, texts }: Package): string {
  return [`## ${name} ${version} (${license})`, ...texts.map((text) => `\`\`\`\n${text}\n\`\`\``)].join('\n\n')
}
