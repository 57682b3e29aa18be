import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

/** The heap of an idle process with the rules loaded, and what is allowed. */
const heapMiB = 32 + 64

test('what an expression builds ends within 64 MiB: in a heap of no more', () => {
  const child = join(import.meta.dirname, 'meter-memory-child.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [`--max-old-space-size=${heapMiB}`, child], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  expect(stderr).toBe('')
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'EXPRESSION_BUDGET\n'.repeat(9) })
})
