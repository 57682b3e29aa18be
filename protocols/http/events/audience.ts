/** Those who follow the events of a listener: who is let in, and what each is told. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from '../../../src/adapter/contract.ts'
import { Summary } from '../../../src/adapter/summary.ts'
import { receivedText } from '../fields.ts'
import { Refusal, retryAfter } from '../listener/problem.ts'
import type { EventsSettings } from './config.ts'
import { eventStream, idText } from './frame.ts'
import { Reader } from './reader.ts'
import type { NewEvent, Tracks } from './tracks.ts'

export class Audience {
  readonly #settings: EventsSettings
  readonly #tracks: Tracks
  readonly #context: Context
  readonly #readers = new Set<Reader>()
  readonly #slow: Summary
  readonly #heart: NodeJS.Timeout

  constructor(settings: EventsSettings, tracks: Tracks, context: Context) {
    this.#settings = settings
    this.#tracks = tracks
    this.#context = context
    this.#slow = new Summary((more) => context.log.warn(`${more} more readers of events were too slow`))
    this.#heart = setInterval(() => this.#beat(), settings.heartbeat).unref()
  }

  /** Throws a Refusal, 503, where there are too many, or an earlier answer of the same connection has not ended. */
  seat(path: string, request: IncomingMessage, response: ServerResponse): void {
    if (this.#readers.size >= this.#settings.maxReaders)
      throw busy(`${this.#settings.maxReaders} readers follow this listener already`)
    if (response.socket === null) throw busy('a connection has one reader') // node would not tell that it has gone
    response.writeHead(200, headers)
    const track = this.#tracks.of(path)
    const { maxReaderBuffer: maxBufferBytes } = this.#settings
    const reader = new Reader(response, track, { maxBufferBytes, onSlow: () => this.#tellSlow(path) })
    this.#readers.add(reader)
    track.readers.add(reader)
    this.#context.count('events_readers')
    response.once('close', () => {
      this.#readers.delete(reader)
      track.readers.delete(reader)
      this.#tracks.forget(track)
    })
    reader.follow(lastEventId(request))
  }

  /** It is written to all that follow the path now. */
  publish(path: string, event: NewEvent): void {
    const track = this.#tracks.add(path, event)
    for (const reader of track.readers) reader.tell(event.frame)
  }

  close(): void {
    clearInterval(this.#heart)
    this.#slow.close()
    for (const reader of this.#readers) reader.end()
  }

  #beat(): void {
    this.#tracks.prune()
    for (const reader of this.#readers) reader.beat()
  }

  #tellSlow(path: string): void {
    this.#context.count('events_readers_dropped')
    if (!this.#slow.isFirst()) return
    this.#context.log.warn('a reader of events was too slow, its connection has ended; said once a minute', { path })
  }
}

const headers = {
  'content-type': `${eventStream}; charset=utf-8`,
  'cache-control': 'no-store',
  'x-accel-buffering': 'no', // nginx passes each event on as it comes
}

/** Node gives bytes as Latin-1; an empty one says nothing. */
function lastEventId({ headers: received }: IncomingMessage): string | undefined {
  const shown = received['last-event-id']
  return typeof shown === 'string' && shown !== '' ? idText(receivedText(shown)) : undefined
}

const busy = (detail: string) => new Refusal({ status: 503, code: 'TARGET_BUSY', detail, headers: retryAfter })
