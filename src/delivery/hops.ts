import type { Envelope } from '../envelope/envelope.ts'
import { PermanentError } from '../errors.ts'

/** A message that passed this gateway more often is in a loop. */
const maxHops = 8

/** The gateways a message will have passed, `gatewayId` last. */
export function hopsOf(envelope: Envelope, gatewayId: string): string {
  return envelope.hops === undefined ? gatewayId : `${envelope.hops},${gatewayId}`
}

/** Why a message that has been here too often goes no further; undefined: it has not. */
export function loopOf({ hops }: Envelope, gatewayId: string): PermanentError | undefined {
  if (hops === undefined) return undefined
  let passed = 0
  for (const id of hops.split(',')) if (id === gatewayId) passed += 1
  if (passed <= maxHops) return undefined
  return new PermanentError('MESSAGE_LOOPING', `it passed through this gateway more than ${maxHops} times`)
}
