import { randomBytes } from 'node:crypto'

/** Which request, and which of its branches, a reply is for. */
export interface Addressee {
  /** The place of its route among those that ask. */
  readonly route: number
  readonly request: number
  readonly branch: number
}

const text = /^([0-9a-f]{24})-(\w+)-(\w+)(?:-(\w+))?$/

/** The ids of requests: the instance, drawn anew at each start, and numbers. Who does not see one cannot guess one. */
export class Tokens {
  readonly instance = randomBytes(12).toString('hex')

  /** `request.id`. */
  of(route: number, request: number): string {
    return `${this.instance}-${route.toString(36)}-${request.toString(36)}`
  }

  /** `foreign`: one of another gateway, or of an earlier start. Undefined: none at all. */
  read(token: string | undefined): Addressee | 'foreign' | undefined {
    const parts = token === undefined ? null : text.exec(token)
    if (parts === null) return undefined
    const [, instance, ...numbers] = parts
    if (instance !== this.instance) return 'foreign'
    const [route = 0, request = 0, branch = 0] = numbers.map((part = '0') => Number.parseInt(part, 36))
    return { route, request, branch }
  }
}

/** The token of one branch of several. */
export const branchToken = (request: string, branch: number): string => `${request}-${branch.toString(36)}`

/** Of a `request.id`: which request of its route. */
export const numberOf = (id: string): number => Number.parseInt(id.slice(id.lastIndexOf('-') + 1), 36)
