import type { Response } from 'express'
import type { HttpFrom } from '../config.ts'
import type { RequestPath } from './path.ts'
import type { Found } from './routes.ts'

/** Where a request goes: found first of all, and read by all that follows. */
export interface Way extends RequestPath, Found<HttpFrom> {}

export function setWay(response: Response, way: Way): void {
  response.locals.way = way
}

export function wayOf(response: Response): Way {
  return response.locals.way as Way
}
