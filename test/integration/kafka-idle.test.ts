import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from '@jest/globals'
import { makeTopic } from '../support/contexts/kafka.ts'
import type { IdleReport } from '../support/gateway/kafka-idle-program.ts'
import { unique } from '../support/names.ts'

const program = join(import.meta.dirname, '../support/gateway/kafka-idle-program.ts')
const watchedMs = 6000
const most = 0.01

it('costs less than 1 % of a core while a connected sink and source are idle', async () => {
  const args = ['--no-warnings', program, await makeTopic(), unique('group'), String(watchedMs), String(most)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 })
  const { partOfCore, warnings, said }: IdleReport = JSON.parse(stdout)
  expect(partOfCore).toBeLessThan(most)
  expect(warnings).not.toContain('TimeoutNegativeWarning')
  expect(said).toEqual([])
}, 150_000)
