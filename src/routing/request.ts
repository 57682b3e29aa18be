import { memberOf, type Read } from './fields.ts'
import type { Params } from './subject.ts'

/** Under this name the id of a request stands among its params: no capture can be called so. */
const name = 'request.id'

/** Of a message that is a request. */
export const requestIdOf = (params: Params): string | undefined => params[name]

export const withRequestId = (params: Params, id: string): Params => ({ ...params, [name]: id })

/** What rules of a route with `request` or `scatter` see besides. */
export const requestNames: ReadonlyMap<string, Read> = new Map([
  ['request', ({ params }) => ({ id: requestIdOf(params) })],
])

/** What `aggregate` of a scatter sees besides: the list of what the targets said, of the result it is asked about. */
export const resultNames: ReadonlyMap<string, Read> = new Map([
  ...requestNames,
  ['results', ({ envelope }) => memberOf(envelope.json, 'results')],
])
