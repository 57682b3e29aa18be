import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../test/support/ports.ts'
import { end, usageOf } from './measure.ts'
import { startReady } from './ready.ts'

const root = join(import.meta.dirname, '..')

/** The launcher of the bundle, built anew, in a folder as a package has it: nothing of a clone lies beside it. */
export function installedLauncher(folder: string): string {
  execFileSync(process.execPath, ['--no-warnings', join(root, 'build/build.ts')], { stdio: 'inherit' })
  const place = mkdtempSync(join(folder, 'package-'))
  for (const name of ['package.json', 'dist']) cpSync(join(root, name), join(place, name), { recursive: true })
  mkdirSync(join(place, 'bin'))
  cpSync(join(root, 'bin/trivium.js'), join(place, 'bin/trivium.js'))
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  return join(place, 'bin/trivium.js')
}

/** From the start of the process until `/readyz` answers 200 with trivium.yaml: milliseconds of wall time and CPU seconds. */
export async function measureStart(launcher: string, folder: string) {
  const place = mkdtempSync(join(folder, 'start-'))
  const file = join(place, 'trivium.yaml')
  const text = readFileSync(join(root, 'trivium.yaml'), 'utf8').replaceAll('1883', String(await freePort()))
  writeFileSync(file, text.replace('id: quickstart', `id: quickstart\n  dataDir: ${join(place, 'data')}`))
  const startedAt = performance.now()
  const child = await startReady(file, { launcher, lookMs: 5 })
  const wallMs = performance.now() - startedAt
  const { cpuSecs, rssMib } = usageOf(child)
  await end(child)
  return { wallMs, cpuSecs, rssMib }
}
