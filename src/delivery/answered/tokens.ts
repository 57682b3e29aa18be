import { hash, randomBytes } from 'node:crypto'

/** Which request, and which of its branches, a reply is for. */
export interface Addressee {
  /** The place of its route among those that ask. */
  readonly route: number
  readonly request: number
  readonly branch: number
}

const text = /^([0-9a-f]{24})-(\w+-\w+(?:-\w+)?)-([0-9a-f]{16})$/

/** The ids of requests: the instance, drawn anew at each start, numbers, and a proof: who has seen one cannot guess another. */
export class Tokens {
  readonly instance = randomBytes(12).toString('hex')
  readonly #secret = randomBytes(32).toString('hex')

  /** `request.id`; with `branch` the token of one of several targets. */
  of(route: number, request: number, branch?: number): string {
    const numbers = [route, request, ...(branch === undefined ? [] : [branch])]
      .map((each) => each.toString(36))
      .join('-')
    return `${this.instance}-${numbers}-${this.#proofOf(numbers)}`
  }

  /** `foreign`: one of another gateway, or of an earlier start. Undefined: none at all, or one that somebody has made up. */
  read(token: string | undefined): Addressee | 'foreign' | undefined {
    const parts = token === undefined ? null : text.exec(token)
    if (parts === null) return undefined
    const [, instance, numbers = '', proof] = parts
    if (instance !== this.instance) return 'foreign'
    if (proof !== this.#proofOf(numbers)) return undefined
    const [route = 0, request = 0, branch = 0] = numbers.split('-').map((part) => Number.parseInt(part, 36))
    return { route, request, branch }
  }

  #proofOf(numbers: string): string {
    return hash('sha256', `${this.#secret}${numbers}`).slice(0, 16)
  }
}

/** Of a `request.id`: which request of its route. */
export const numberOf = (id: string): number => Number.parseInt(id.split('-')[2] ?? '', 36)
