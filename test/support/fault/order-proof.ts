/**
 * Reads what `strace -f -xx` has written of a gateway: when bytes of a message came from a device, when they were written to
 * a file, when a sync of that file began and returned, when the PUBACK left. The messages are those of ./message.ts.
 */

interface Call {
  readonly name: string
  readonly fd: number
  /** All strings among the arguments, one behind the other. */
  readonly data: Buffer
}

/** One connection of a device. */
interface Wire {
  unread: Buffer
  /** Which message a packet id stands for. */
  readonly messages: Map<number, string>
}

const syncs = new Set(['fsync', 'fdatasync'])
const reads = new Set(['read', 'recvfrom', 'recvmsg', 'readv'])
const writes = new Set(['write', 'writev', 'sendto', 'sendmsg'])
const fileWrites = new Set(['pwrite64', 'pwritev'])
/** `<pid> <time> name(fd, …`, also without the time. */
const beginning = /^(\d+)\s+(?:[\d.]+ )?(\w+)\((\d+)/
const resumption = /^(\d+)\s+(?:[\d.]+ )?<\.\.\. (\w+) resumed>/

export class OrderProof {
  /** PUBACKs of known messages. */
  acked = 0
  /** PUBACKs of packets that were never seen to come. */
  unknown = 0
  /** Syncs that returned well. */
  syncs = 0
  /** One sentence each. */
  readonly violations: string[] = []
  #line = 0
  /** Calls that have begun and not returned, by thread. */
  readonly #open = new Map<string, { line: number; text: string }>()
  readonly #wires = new Map<number, Wire>()
  /** By file: messages written there, with the line, that no sync has covered yet. */
  readonly #written = new Map<number, Map<string, number>>()
  /** By file: what was written since the last sync. */
  readonly #pages = new Map<number, Buffer[]>()
  readonly #known = new Set<string>()
  readonly #durable = new Set<string>()

  read(line: string): void {
    this.#line += 1
    const resumed = resumption.exec(line)
    if (resumed !== null) return this.#onResumed(resumed[1]!, line.slice(resumed[0].length))
    const begun = beginning.exec(line)
    if (begun === null) return
    const isUnfinished = line.endsWith('<unfinished ...>')
    this.#onBegin(callOf(line))
    if (isUnfinished) this.#open.set(begun[1]!, { line: this.#line, text: line })
    else this.#onEnd(callOf(line), line, this.#line)
  }

  #onResumed(thread: string, rest: string): void {
    const open = this.#open.get(thread)
    if (open === undefined) return
    this.#open.delete(thread)
    this.#onEnd(callOf(open.text + rest), rest, open.line)
  }

  /** What leaves is gone as soon as the call begins. */
  #onBegin(call: Call): void {
    const wire = writes.has(call.name) ? this.#wires.get(call.fd) : undefined
    if (wire !== undefined) this.#onSent(wire, call.data)
  }

  #onEnd(call: Call, text: string, begunAt: number): void {
    if (/\) += -1 /.test(text)) return
    if (reads.has(call.name)) this.#onReceived(call)
    if (fileWrites.has(call.name)) this.#onWritten(call)
    if (syncs.has(call.name)) this.#onSynced(call.fd, begunAt)
  }

  #onReceived({ fd, data }: Call): void {
    if (data[0] === 0x10 && data.includes('MQTT')) this.#wires.set(fd, { unread: Buffer.alloc(0), messages: new Map() })
    const wire = this.#wires.get(fd)
    if (wire === undefined) return
    wire.unread = packets(Buffer.concat([wire.unread, data]), (first, body) => {
      if (first >> 4 !== 3) return
      const topicEnd = 2 + body.readUInt16BE(0)
      const [message] = messagesIn(body.subarray(topicEnd + 2))
      if (message !== undefined) wire.messages.set(body.readUInt16BE(topicEnd), message)
    })
  }

  /** A page is written again and again: what counts is the first time a message is on one. */
  #onWritten({ fd, data }: Call): void {
    const pages = this.#pages.get(fd) ?? []
    this.#pages.set(fd, pages)
    for (const message of [...messagesIn(data), ...messagesAcross(data, pages)]) this.#note(fd, message)
    pages.push(data)
  }

  #note(fd: number, message: string): void {
    if (this.#known.has(message)) return
    const written = this.#written.get(fd) ?? new Map<string, number>()
    this.#written.set(fd, written)
    this.#known.add(message)
    written.set(message, this.#line)
  }

  /** It covers what had been written to its file when it began. */
  #onSynced(fd: number, begunAt: number): void {
    this.syncs += 1
    this.#pages.delete(fd)
    const written = this.#written.get(fd)
    if (written === undefined) return
    for (const [message, line] of written) {
      if (line >= begunAt) break
      this.#durable.add(message)
      written.delete(message)
    }
  }

  #onSent(wire: Wire, data: Buffer): void {
    packets(data, (first, body) => {
      if (first >> 4 !== 4) return
      const message = wire.messages.get(body.readUInt16BE(0))
      if (message === undefined) {
        this.unknown += 1
        return
      }
      this.acked += 1
      if (this.#durable.has(message)) return
      const why = this.#known.has(message)
        ? 'written, but no sync that began later has returned'
        : 'not written to any file'
      this.violations.push(`line ${this.#line}: acknowledged ${message}: ${why}`)
    })
  }
}

/** Calls `each` for every whole MQTT packet; returns the rest. */
function packets(bytes: Buffer, each: (first: number, body: Buffer) => void): Buffer {
  let at = 0
  for (;;) {
    let [length, digits] = [0, 0]
    for (; digits < 4; digits += 1) {
      const digit = bytes[at + 1 + digits]
      if (digit === undefined) return bytes.subarray(at)
      length += (digit & 0x7f) << (7 * digits)
      if (digit < 0x80) break
    }
    const body = at + 2 + digits
    if (bytes.length < body + length) return bytes.subarray(at)
    each(bytes[at]!, bytes.subarray(body, body + length))
    at = body + length
  }
}

function messagesIn(bytes: Buffer): string[] {
  return [...bytes.toString('latin1').matchAll(/\{"key":"([^"]{1,60})","n":(\d+),/g)].map(
    (found) => `${found[1]} ${found[2]}`,
  )
}

/** The page number of SQLite that leads on from a cell, and stands before what goes on. */
const pointerBytes = 4
const longestMark = 100

/**
 * A large row of SQLite goes on from page to page: what is cut at the end of a page, or before the number of the next, and
 * begins another page of the same transaction behind that page's own number.
 */
function messagesAcross(page: Buffer, others: readonly Buffer[]): string[] {
  return others.flatMap((other) => [...cutIn(page).flatMap(onTo(other)), ...cutIn(other).flatMap(onTo(page))])
}

const onTo = (page: Buffer) => (beginning: string) =>
  messagesIn(Buffer.concat([Buffer.from(beginning, 'latin1'), page.subarray(pointerBytes, pointerBytes + longestMark)]))

function cutIn(page: Buffer): string[] {
  const text = page.toString('latin1')
  const cuts = [...text.matchAll(/\{[^\0{]{0,100}(?=\0|$)/g)].map(([cut]) => cut)
  return cuts.filter((cut) => messagesIn(Buffer.from(cut, 'latin1')).length === 0)
}

function callOf(text: string): Call {
  const found = beginning.exec(text)!
  const strings = [...text.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map((quoted) => quoted[1]!.replaceAll('\\x', ''))
  return { name: found[2]!, fd: Number(found[3]), data: Buffer.from(strings.join(''), 'hex') }
}
