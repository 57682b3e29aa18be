import type { Log } from '../../../src/adapter/contract.ts'
import type { DriverLogEntry } from './guard.ts'

const quietMs = 30_000
const maxTexts = 100

/**
 * kafkajs's own words, on our log. What it calls an error it also throws, and we judge it there: here that is a detail. A
 * sentence is said once in 30 s. https://github.com/tulios/kafkajs/issues/1765
 */
export function driverLog(log: Log): (entry: DriverLogEntry) => void {
  const saidAt = new Map<string, number>()
  return ({ namespace, level, log: { message, timestamp: _, logger: __, stack: ___, ...fields } }) => {
    const now = Date.now()
    const text = `${namespace} ${message}`
    if (now - (saidAt.get(text) ?? 0) < quietMs) return
    if (saidAt.size >= maxTexts) saidAt.clear()
    saidAt.set(text, now)
    const write = level === warnLevel ? log.warn : log.debug
    write.call(log, `kafkajs: ${message}`, fields)
  }
}

const warnLevel = 2
