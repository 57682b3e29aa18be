import { expect, test } from '@jest/globals'
import type { Gateway } from '../../../src/gateway.ts'
import { whenReady } from '../../../src/library/when-ready.ts'

test('a gateway that fails after it was ready leaves no rejection that nobody handles', async () => {
  const fatal = Promise.withResolvers<unknown>()
  const unhandled: unknown[] = []
  const note = (error: unknown) => void unhandled.push(error)
  process.on('unhandledRejection', note)
  const status = (() => ({ links: [], routes: [], store: {} })) as unknown as Gateway['status']
  await whenReady({ fatal: fatal.promise as Gateway['fatal'], status })
  fatal.resolve(new Error('the disk failed'))
  await new Promise((resolve) => setImmediate(resolve))
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})
