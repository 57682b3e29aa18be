/** How far a long command is, on standard error: a bar on a terminal, else a line every few seconds. */

export interface ProgressStream {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  write(text: string): unknown
}

const barEveryMs = 100
const lineEveryMs = 5_000
const widestBar = 40

export class Progress {
  readonly #stream: ProgressStream
  readonly #verb: string
  readonly #total: number
  readonly #now: () => number
  readonly #startedMs: number
  #shownMs: number
  #count = 0
  #hasBar = false

  /** `verb` is what is done: `requeued`. `total` is how many letters there are to look at. */
  constructor(verb: string, total: number, stream: ProgressStream = process.stderr, now = () => performance.now()) {
    this.#verb = verb
    this.#total = total
    this.#stream = stream
    this.#now = now
    this.#startedMs = now()
    this.#shownMs = this.#startedMs
  }

  advance(by: number): void {
    this.#count += by
    const nowMs = this.#now()
    if (nowMs - this.#shownMs < (this.#stream.isTTY ? barEveryMs : lineEveryMs)) return
    this.#shownMs = nowMs
    if (this.#stream.isTTY) this.#draw()
    else this.#stream.write(`${this.#text()}\n`)
  }

  /** Takes the bar away, so that something else may be written. */
  clear(): void {
    if (this.#hasBar) this.#stream.write('\r\u001b[K')
    this.#hasBar = false
  }

  #draw(): void {
    const text = this.#text()
    const room = Math.min(widestBar, (this.#stream.columns ?? 80) - text.length - 2)
    const share = this.#total === 0 ? 1 : Math.min(1, this.#count / this.#total)
    const full = Math.round(share * room)
    const bar = room < 10 ? '' : `${'█'.repeat(full)}${'░'.repeat(room - full)} `
    this.#stream.write(`\r\u001b[K${bar}${text}`)
    this.#hasBar = true
  }

  #text(): string {
    const total = Math.max(this.#total, this.#count)
    const percent = total === 0 ? 100 : Math.floor((100 * this.#count) / total)
    const perSecond = Math.round((1_000 * this.#count) / Math.max(1, this.#now() - this.#startedMs))
    return `${this.#verb} ${this.#count} of ${total} (${percent}%), ${perSecond}/s`
  }
}
