import type { ServerResponse } from 'node:http'
import { gapFrame, greeting, heartbeat } from './frame.ts'
import type { Follower, Track } from './track.ts'

/**
 * One who follows a path, and the bytes that wait for it.
 *
 *   catching up -> live -> over
 *
 * Catching up it takes what it has missed from the track, no faster than it reads; nothing of that waits for it here.
 */
export class Reader implements Follower {
  readonly #response: ServerResponse
  readonly #track: Track
  readonly #maxBufferBytes: number
  /** It reads too slowly: its connection ends. */
  readonly #onSlow: () => void
  #isLive = false
  /** It has been full since the last heartbeat. */
  #isStuck = false

  constructor(
    response: ServerResponse,
    track: Track,
    { maxBufferBytes, onSlow }: { readonly maxBufferBytes: number; readonly onSlow: () => void },
  ) {
    this.#response = response
    this.#track = track
    this.#maxBufferBytes = maxBufferBytes
    this.#onSlow = onSlow
    response.on('error', () => {}) // `close` follows
    response.on('drain', () => {
      this.#isStuck = false
    })
    response.write(greeting)
  }

  /** Nothing may be written to it any more; `close` comes a turn later. */
  get #isOver(): boolean {
    return this.#response.destroyed || this.#response.writableEnded
  }

  /** From now on; with `lastEventId` what came after that first, or a word that it is not known any more. */
  follow(lastEventId: string | undefined): void {
    if (lastEventId === undefined) this.#isLive = true
    else this.#resume(lastEventId)
  }

  /** Of an event of now. One that still catches up finds it in the track. */
  tell(frame: Buffer): void {
    if (this.#isLive) this.#write(frame)
  }

  beat(): void {
    if (this.#isStuck) return this.#drop()
    this.#isStuck = this.#response.writableNeedDrain
    this.#write(heartbeat)
  }

  end(): void {
    this.#response.end()
  }

  #resume(lastEventId: string): void {
    const seq = this.#track.find(lastEventId)
    if (seq === undefined) this.#response.write(gapFrame(lastEventId))
    this.#catchUp(seq ?? (this.#track.oldest?.seq ?? 1) - 1, lastEventId)
  }

  #catchUp(from: number, lastId: string): void {
    if (this.#isOver) return
    if (this.#track.hasGapAfter(from)) this.#response.write(gapFrame(lastId))
    for (const { seq, id, frame } of this.#track.after(from)) {
      if (this.#response.write(frame)) continue
      this.#response.once('drain', () => this.#catchUp(seq, id))
      return
    }
    this.#isLive = true
  }

  /** A frame that is larger than all that may wait leaves alone. */
  #write(frame: Buffer): void {
    if (this.#isOver) return
    const waiting = this.#response.writableLength
    if (waiting > 0 && waiting + frame.byteLength > this.#maxBufferBytes) return this.#drop()
    this.#response.write(frame)
  }

  #drop(): void {
    if (this.#isOver) return
    this.#onSlow()
    this.#response.destroy()
  }
}
