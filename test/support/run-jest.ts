/** One run of jest over some of the projects of jest.config.js, under this very Node. */
import { type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Totals {
  passed: number
  failed: number
  skipped: number
}

export interface JestRun {
  readonly projects: readonly string[]
  /** Options and patterns, as on jest's command line. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** What it writes is shown in one piece when it has ended: another run writes beside it. */
  readonly isQuiet?: boolean
}

export const root = join(import.meta.dirname, '../..')
/** The parts of jest's JSON that count. */
const noResults = {
  numPassedTests: 0,
  numFailedTests: 0,
  numRuntimeErrorTestSuites: 0,
  numPendingTests: 0,
  numTodoTests: 0,
}

export async function runJest(run: JestRun): Promise<Totals> {
  const folder = mkdtempSync(join(tmpdir(), 'trivium-jest-'))
  const [resultsFile, shownFile] = [join(folder, 'results.json'), join(folder, 'shown.txt')]
  try {
    const output = run.isQuiet ? openSync(shownFile, 'w') : 'inherit'
    const exitCode = await runNode(commandOf(run, resultsFile), { env: run.env, output })
    if (run.isQuiet) process.stderr.write(readFileSync(shownFile))
    return totalsOf(resultsFile, exitCode)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function commandOf({ projects, args }: JestRun, resultsFile: string): string[] {
  return [
    '--experimental-vm-modules',
    '--no-warnings=ExperimentalWarning',
    join(root, 'node_modules/jest/bin/jest.js'),
    '--selectProjects', // takes all that follows, up to the next option
    ...projects,
    '--forceExit', // a handle that Node cannot close at its own end would keep it spinning
    '--passWithNoTests', // the pattern may be about another run
    '--json', // to its file alone
    `--outputFile=${resultsFile}`,
    ...args,
  ]
}

/** Runs under this very Node; the exit code, 1 where a signal ended it. */
export async function runNode(
  args: readonly string[],
  { env = {}, output = 'inherit' }: { env?: Readonly<Record<string, string>>; output?: 'inherit' | number } = {},
): Promise<number> {
  const stdio: StdioOptions = ['inherit', output, output]
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...env }, stdio })
  const [code] = await once(child, 'exit')
  return code ?? 1
}

/** A file that could not be run is a failure too. */
function totalsOf(outputFile: string, exitCode: number): Totals {
  const results = readResults(outputFile)
  const failed = results.numFailedTests + results.numRuntimeErrorTestSuites
  return {
    passed: results.numPassedTests,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: results.numPendingTests + results.numTodoTests,
  }
}

function readResults(file: string): typeof noResults {
  try {
    return { ...noResults, ...JSON.parse(readFileSync(file, 'utf8')) }
  } catch {
    return noResults
  }
}
