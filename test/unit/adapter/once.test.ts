import { expect, test } from '@jest/globals'
import { once } from '../../../src/adapter/once.ts'

test('a part is loaded once, also for those who ask at the same time', async () => {
  let loads = 0
  const part = once(async () => {
    loads += 1
    return loads
  })
  expect(await Promise.all([part(), part()])).toEqual([1, 1])
  expect(await part()).toBe(1)
})

test('what could not be loaded is tried again', async () => {
  let loads = 0
  const part = once(async () => {
    loads += 1
    if (loads === 1) throw new Error('too many open files')
    return loads
  })
  await expect(part()).rejects.toThrow('too many open files')
  expect(await part()).toBe(2)
})
