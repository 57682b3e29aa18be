/** Jobs that free something wait so long for others, so that they do not cost an fsync each; milliseconds. */
const companyMs = 20
const mostInCompany = 1000
/** Jobs are gathered over turns of the event loop that follow each other as long as that; milliseconds, jobs. */
const gatherMs = 2
const mostGathered = 512

/** Decides when jobs that came one by one are committed together. */
export class Gathering {
  readonly #countJobs: () => number
  readonly #commit: () => void
  #immediate: NodeJS.Immediate | undefined
  #sinceMs = 0
  #gathered = 0
  #company: NodeJS.Timeout | undefined

  /** `commit` is called once for all that was asked for until then; it takes all that `countJobs` counts. */
  constructor(countJobs: () => number, commit: () => void) {
    this.#countJobs = countJobs
    this.#commit = commit
  }

  /** In a while, or when so many are there, unless something more urgent comes. */
  commitSoon(): void {
    if (this.#countJobs() >= mostInCompany) this.commitThisTurn()
    else if (this.#immediate === undefined) this.#company ??= setTimeout(() => this.#commitNow(), companyMs)
  }

  /** At the end of this turn of the event loop, or of several that follow each other at once and each bring more. */
  commitThisTurn(): void {
    if (this.#immediate !== undefined) return
    this.#sinceMs = performance.now()
    this.#gathered = 0
    this.#immediate = setImmediate(() => this.#commitUnlessMoreComes())
  }

  /** Somebody commits all there is: nothing of what was asked for is to be done any more. */
  forget(): void {
    clearImmediate(this.#immediate)
    clearTimeout(this.#company)
    this.#immediate = undefined
    this.#company = undefined
  }

  #commitNow(): void {
    this.forget()
    this.#commit()
  }

  /** A lone message waits for one empty turn. */
  #commitUnlessMoreComes(): void {
    const count = this.#countJobs()
    const isComing = count > this.#gathered && count < mostGathered
    if (!isComing || performance.now() - this.#sinceMs > gatherMs) return this.#commitNow()
    this.#gathered = count
    this.#immediate = setImmediate(() => this.#commitUnlessMoreComes())
  }
}
