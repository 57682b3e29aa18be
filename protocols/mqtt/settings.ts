/** What settings of MQTT share, wherever they stand. */
import { z } from 'zod'
import { clientTls } from '../../src/adapter/schema.ts'
import { identities } from './broker/admission/identity.ts'

export const qos = () => z.literal([0, 1, 2])

/** Fits the Receive Maximum of MQTT 5. */
export const maxInFlight = () => z.int().min(1).max(65_535)

export const tls = () =>
  clientTls().extend({
    identity: z.enum(identities).optional().meta({
      description:
        'For `listen` with `ca`: takes the user from the common name (`cn`) or the first alternative name (`san`: DNS, mail, URI) of the client certificate; no password is needed then. Default: `cn` if there are no `users`.',
    }),
  })

/** The limit of each route that shares a source; `usual`: of one that names none. */
export function inFlightLimits(
  froms: readonly { readonly maxInFlight?: number | undefined }[],
  usual: number,
): readonly number[] {
  return froms.map((from) => from.maxInFlight ?? usual)
}
