import { Envelope, HeaderBag } from '../../envelope/envelope.ts'
import { isoText } from '../../envelope/time.ts'
import { uuidv7 } from '../../envelope/uuid.ts'
import type { GatewayError } from '../../errors.ts'

export const errorHeader = 'trivium-error'
export const errorMessageHeader = 'trivium-error-message'

/** An error in place of a reply, as a message. Its body says the same, for those that get no headers. */
export function errorEnvelope(
  error: GatewayError,
  { correlationId, gatewayId }: { correlationId: string | undefined; gatewayId: string },
): Envelope {
  const { code, message } = error
  const headers = new HeaderBag()
  headers[errorHeader] = code
  headers[errorMessageHeader] = message
  return new Envelope({
    messageId: uuidv7(),
    timestamp: isoText(Date.now()),
    source: `trivium://${gatewayId}`,
    correlationId,
    contentType: 'application/json',
    headers,
    payload: Buffer.from(JSON.stringify({ error: code, message })),
  })
}
