/** A reader of server-sent events over a real socket, strict about what the wire may hold. */
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { eventually } from '../poll.ts'

export interface Heard {
  readonly id?: string
  readonly event?: string
  readonly data: string
}

export class EventReader {
  readonly events: Heard[] = []
  readonly response: IncomingMessage
  /** Comments so far, the heartbeat among them. */
  comments = 0
  retryMs: number | undefined
  isOver = false
  readonly #over = Promise.withResolvers<void>()
  readonly #request: ClientRequest
  #rest = ''

  /** Rejects unless the answer is an event stream. */
  static async follow(url: string, headers: Readonly<Record<string, string>> = {}): Promise<EventReader> {
    const { outgoing, response } = await get(url, { accept: 'text/event-stream', ...headers })
    const type = response.headers['content-type']
    if (response.statusCode !== 200 || type?.startsWith('text/event-stream') !== true) {
      outgoing.destroy()
      throw new Error(`${response.statusCode} ${type}`)
    }
    return new EventReader(outgoing, response)
  }

  private constructor(outgoing: ClientRequest, response: IncomingMessage) {
    this.#request = outgoing
    this.response = response
    outgoing.on('error', () => {})
    response.on('error', () => {})
    response.setEncoding('utf8').on('data', (text: string) => this.#take(text))
    response.once('close', () => {
      this.isOver = true
      this.#over.resolve()
    })
  }

  get data(): readonly string[] {
    return this.events.map(({ data }) => data)
  }

  get ids(): readonly (string | undefined)[] {
    return this.events.map(({ id }) => id)
  }

  /** Resolves when it has heard so many events. */
  async hears(count: number): Promise<void> {
    await eventually(() => this.events.length >= count, { what: `${count} events` }).catch((cause: unknown) => {
      throw new Error(`${count} events, got ${this.events.length}`, { cause })
    })
  }

  ends(): Promise<void> {
    return this.#over.promise
  }

  /** Reads no more. */
  pause(): void {
    this.response.pause()
  }

  close(): void {
    this.#request.destroy()
  }

  #take(text: string): void {
    this.#rest += text
    const blocks = this.#rest.split('\n\n')
    this.#rest = blocks.pop() ?? ''
    for (const block of blocks) this.#read(block)
  }

  #read(block: string): void {
    const fields: { id?: string; event?: string } = {}
    const data: string[] = []
    for (const line of block.split('\n')) {
      const [, name = '', value = ''] = /^(id|event|data|retry|): ?([^\r\0]*)$/s.exec(line) ?? broken(line)
      if (name === '') this.comments += 1
      else if (name === 'retry') this.retryMs = Number(value)
      else if (name === 'data') data.push(value)
      else fields[name as 'id' | 'event'] = value
    }
    if (data.length > 0) this.events.push({ ...fields, data: data.join('\n') })
  }
}

export async function get(url: string, headers: Readonly<Record<string, string>> = {}) {
  const outgoing = request(url, { agent: false, headers }).end()
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { outgoing, response }
}

function broken(line: string): never {
  throw new Error(`no line of an event stream: ${JSON.stringify(line)}`)
}
