import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { HeaderValue } from '../envelope/envelope.ts'
import type { DeadLetter, DeadLetters } from './dead-letters.ts'

const newline = 0x0a

/**
 * Dead letters of routes that name no target of their own: `dead-letters.ndjson` in the data directory, one JSON object
 * per line, on disk (fsync) before `add` resolves. What arrives while one write runs forms the next.
 */
export class DeadLetterJournal implements DeadLetters {
  readonly #directory: string
  #file: FileHandle | undefined
  #pending: { line: string; done: PromiseWithResolvers<void> }[] = []
  #writing: Promise<void> | undefined

  constructor(directory: string) {
    this.#directory = directory
  }

  add(letter: DeadLetter): Promise<void> {
    const done = Promise.withResolvers<void>()
    this.#pending.push({ line: `${JSON.stringify(record(letter))}\n`, done })
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
    return done.promise
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#file?.close()
    this.#file = undefined
  }

  async #write(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = this.#pending
      this.#pending = []
      try {
        this.#file ??= await this.#open()
        await this.#file.appendFile(batch.map(({ line }) => line).join('')) // `write` may write a part and call it done
        await this.#file.datasync()
        for (const { done } of batch) done.resolve()
      } catch (error) {
        await this.#letGo() // what it wrote of a line is looked at when the file is opened again
        for (const { done } of batch) done.reject(error)
      }
    }
  }

  async #letGo(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close().catch(() => {})
  }

  /** A full disk or a crash may have torn the last line: the next letter then begins a line of its own. */
  async #open(): Promise<FileHandle> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    const file = await open(join(this.#directory, 'dead-letters.ndjson'), 'a+', 0o600)
    try {
      const { size } = await file.stat()
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1))
      if (size > 0 && buffer[0] !== newline) await file.appendFile('\n')
      return file
    } catch (error) {
      await file.close()
      throw error
    }
  }
}

function record(letter: DeadLetter): Record<string, unknown> {
  const { messageId, timestamp, source, destination, eventType, version, correlationId, contentType } = letter.envelope
  const { priority, ttlMs, retryCount, headers, payload, key, replyTo, hops } = letter.envelope
  return {
    reason: letter.reason,
    error: { code: letter.error.code, message: letter.error.message },
    attempts: letter.attempts,
    route: letter.route,
    target: letter.target,
    firstAt: new Date(letter.firstAt).toISOString(),
    lastAt: new Date(letter.lastAt).toISOString(),
    message: {
      ...{ messageId, timestamp, source, destination, eventType, version, correlationId, contentType },
      ...{
        priority,
        ttlMs,
        retryCount,
        replyTo,
        hops,
        headers: Object.entries(headers).map(([name, value]) => [name, jsonHeader(value)]),
      },
      key: typeof key === 'object' ? { base64: Buffer.from(key).toString('base64') } : key,
      payload: payload === null ? null : Buffer.from(payload).toString('base64'),
    },
  }
}

/** A header's value as JSON has it; bytes and big integers as text. */
function jsonHeader(value: HeaderValue): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') }
  if (Array.isArray(value)) return value.map(jsonHeader)
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, jsonHeader(inner)]))
}
