import type { PageState } from './page-state.ts'

/** Beyond that the pages that came first are forgotten; so many messages, a page for itself counting as some. */
const mostMessages = 65_536
const ownWeight = 8

/** The pages that memory knows, found by a message; what is on disk beside them has to be loaded. */
export class PagesInMemory {
  /** By route, in the order of their ids. */
  readonly #byRoute = new Map<number, PageState[]>()
  /** In the order they came. */
  readonly #all = new Set<PageState>()
  #weight = 0
  /** Where the last message was found: the next is likely to be there too. */
  #latest: PageState | undefined

  find(route: number, id: number): PageState | undefined {
    const latest = this.#latest
    if (latest !== undefined && latest.route === route && latest.covers(id)) return latest
    const pages = this.#byRoute.get(route) ?? none
    const page = pages[indexBehind(pages, id) - 1]
    if (page === undefined || !page.covers(id)) return undefined
    this.#latest = page
    return page
  }

  /** The page that begins with this id. */
  at(route: number, first: number): PageState | undefined {
    const page = this.find(route, first)
    return page?.first === first ? page : undefined
  }

  of(route: number): readonly PageState[] {
    return this.#byRoute.get(route) ?? none
  }

  add(page: PageState): void {
    const pages = this.#byRoute.get(page.route)
    if (pages === undefined) this.#byRoute.set(page.route, [page])
    else pages.splice(indexBehind(pages, page.first), 0, page)
    this.#all.add(page)
    this.#weight += weightOf(page)
  }

  delete(page: PageState): void {
    if (!this.#all.delete(page)) return
    const pages = this.#byRoute.get(page.route) as PageState[]
    pages.splice(pages.indexOf(page), 1)
    this.#weight -= weightOf(page)
    if (this.#latest === page) this.#latest = undefined
  }

  /** Between transactions: what is on disk can be loaded again. */
  forgetOldest(): void {
    for (const page of this.#all) {
      if (this.#weight <= mostMessages) return
      this.delete(page)
    }
  }
}

const none: PageState[] = []

const weightOf = ({ heads }: PageState): number => heads.count + ownWeight

/** Where a page with this id would come, behind those that begin before it or with it. Nearly always that is the end. */
function indexBehind(pages: readonly PageState[], id: number): number {
  let low = 0
  let high = pages.length
  if ((pages.at(-1)?.first ?? Number.POSITIVE_INFINITY) <= id) return high
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((pages[middle] as PageState).first <= id) low = middle + 1
    else high = middle
  }
  return low
}
