/** What HTTP says of an error of ours. */
import type { ErrorCode } from '../../src/errors.ts'

const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  USAGE: 400,
  MESSAGE_MALFORMED: 400,
  CREDENTIALS_REFUSED: 401,
  ACCESS_DENIED: 403,
  NOT_FOUND: 404,
  MESSAGE_TOO_LARGE: 413,
  MESSAGE_REFUSED: 422,
  INTERNAL: 500,
  PEER_TIMEOUT: 504,
}

/** The status that stands for a code; what is not named may be over when the asker tries again: 503. */
export function statusOf(code: ErrorCode): number {
  return statuses[code] ?? 503
}
