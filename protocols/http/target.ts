/** Settings of HTTP as a target: a connection without `listen`, and one entry of `to`. */
import { z } from 'zod'

export const HttpClientConnection = z.strictObject({}).meta({ title: 'Without `listen`: a client, for targets' })
export type HttpClientConnection = z.output<typeof HttpClientConnection>
