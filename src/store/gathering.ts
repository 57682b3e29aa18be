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

  /** `commit` is called once for all that was asked for, and takes all that `countJobs` counts. */
  constructor(countJobs: () => number, commit: () => void) {
    this.#countJobs = countJobs
    this.#commit = commit
  }

  /** Commits in a while, or when so many are there, unless something more urgent comes. */
  inCompany(): void {
    if (this.#countJobs() >= mostInCompany) this.thisTurn()
    else if (this.#immediate === undefined) this.#company ??= setTimeout(this.#commit, companyMs)
  }

  /** Commits at the end of this turn of the event loop, or of several that follow each other at once and each bring more. */
  thisTurn(): void {
    if (this.#immediate !== undefined) return
    this.#sinceMs = performance.now()
    this.#gathered = 0
    this.#immediate = setImmediate(() => this.#commitUnlessMoreComes())
  }

  /** It is done, or there is nothing to do any more. */
  end(): void {
    clearImmediate(this.#immediate)
    clearTimeout(this.#company)
    this.#immediate = undefined
    this.#company = undefined
  }

  /** A lone message waits for one empty turn. */
  #commitUnlessMoreComes(): void {
    const count = this.#countJobs()
    const isComing = count > this.#gathered && count < mostGathered
    if (!isComing || performance.now() - this.#sinceMs > gatherMs) return this.#commit()
    this.#gathered = count
    this.#immediate = setImmediate(() => this.#commitUnlessMoreComes())
  }
}
