import { afterEach } from '@jest/globals'

type Cleanup = () => unknown

/** What is registered runs after the test, last first; all of it, also where one fails. */
export function registerCleanups(): (cleanup: Cleanup) => void {
  const cleanups: Cleanup[] = []
  afterEach(async () => {
    const failures: unknown[] = []
    for (const cleanup of cleanups.splice(0).reverse()) {
      try {
        await cleanup()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  })
  return (cleanup) => void cleanups.push(cleanup)
}
