/** The package runs on the Node its manifest names, though it is developed on a newer one: what came later is used with care. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '../..')
const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { engines: { node: string } }

/** What Node 22.13 has not: a pattern, and the files that look whether it is there. */
const later: readonly (readonly [name: string, pattern: RegExp, careful?: string])[] = [
  ['zstd', /\bzstd(Compress|Decompress)\b|createZstd/, 'protocols/kafka/client/compression.ts'],
  ['process.threadCpuUsage', /threadCpuUsage/, 'src/routing/meter.ts'],
  ['DatabaseSync.isOpen, .isTransaction', /database\??\.(isOpen|isTransaction)\b/i],
  ['DatabaseSync.location, backup', /database\.(location|backup)\(/i],
  ['StatementSync.setReturnArrays, .columns', /\.(setReturnArrays|columns|setAllowUnknownNamedParameters)\(/],
  ['using', /^\s*(await )?using \w+ =/m],
  ['Promise.try', /Promise\.try\(/],
  ['RegExp.escape', /RegExp\.escape\(/],
  ['Error.isError', /Error\.isError\(/],
  ['bytes as base64 and hex', /\.(fromBase64|toBase64|setFromBase64|fromHex|toHex)\(/],
  ['Float16', /Float16|f16round/],
  ['Iterator.concat', /Iterator\.concat/],
  ['module.registerHooks', /registerHooks/],
  ['process.execve', /execve/],
  ['URLPattern', /URLPattern/],
  ['import.meta.main', /import\.meta\.main/],
]

const sources = ['src', 'protocols'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
)
const texts = sources
  .filter((file) => file.endsWith('.ts'))
  .map((file) => [file, readFileSync(join(root, file), 'utf8')] as const)

test('the manifest names the Node that this list is about', () => {
  expect(engines.node).toBe('>=22.13')
})

test.each(later)('%s is used where it may be absent, or not at all', (_name, pattern, ...careful) => {
  const users = texts.filter(([, text]) => pattern.test(text)).map(([file]) => file)
  expect(users.filter((file) => !careful.includes(file))).toEqual([])
})
