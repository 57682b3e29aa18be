/** Scalars that every protocol's configuration shares. The value carries its unit: `200ms`, `64KiB`. */
import { z } from 'zod'
import { type AddressRule, addressProblem, hostPortProblem } from './address.ts'

const msPer: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const bytesPer: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** A duration such as `200ms`, `5s`, `1m`; its value in milliseconds. */
export const duration = () => quantity(/^\d+(\.\d+)?(ms|s|m|h|d)$/, msPer, 'a duration such as 200ms, 5s, 1m, 2h or 7d')
/** A duration that a timer waits for: one of 25 days would end at once. */
export const timeLimit = () => duration().refine((ms) => ms <= mostTimerMs, { error: 'expected at most 24d' })
const mostTimerMs = 24 * 86_400_000
/** A size such as `64KiB`, `1MiB`; its value in bytes. */
export const size = () => quantity(/^\d+(\.\d+)?(B|KiB|MiB|GiB)$/, bytesPer, 'a size such as 64KiB or 1MiB')

function quantity(pattern: RegExp, per: Readonly<Record<string, number>>, name: string) {
  return z
    .string({ error: `expected ${name}` })
    .regex(pattern, { error: `expected ${name}` })
    .transform((text) => {
      const unit = /[A-Za-z]+$/.exec(text)?.[0] ?? ''
      return Math.round(Number.parseFloat(text) * (per[unit] ?? Number.NaN))
    })
}

/** Text that must not be shown: `meta.secret` keeps it out of every dump. */
export const secret = () =>
  z
    .string()
    .min(1, { error: 'must not be empty; omit the key if there is none' })
    .meta({ secret: true, description: 'A secret; use ${env:…} or ${file:…}.' })

/** The address of a peer. What may be secret in it is kept out of every excerpt: `meta.address`. */
export const address = (rule: AddressRule) =>
  z
    .string()
    .superRefine(refuse((text) => addressProblem(text, rule)))
    .meta({ address: true, examples: [rule.example] })

/** Several `host:port` with commas between, as they come from one variable; `listed` takes them apart. */
export const hostPorts = () =>
  z
    .string()
    .superRefine(refuse((text) => hostPortsProblem(listed(text))))
    .meta({ address: true })

export const listed = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')

function hostPortsProblem(parts: readonly string[]): string | undefined {
  const at = parts.findIndex((part) => hostPortProblem(part) !== undefined)
  if (parts.length === 0) return hostPortProblem('')
  const problem = parts[at] === undefined ? undefined : hostPortProblem(parts[at])
  return problem === undefined || parts.length === 1 ? problem : `address ${at + 1} of ${parts.length}: ${problem}`
}

/** Refuses a text for what is wrong with it. */
export const refuse = (problemOf: (text: string) => string | undefined) => (text: string, context: z.RefinementCtx) => {
  const message = problemOf(text)
  if (message !== undefined) context.addIssue({ code: 'custom', message })
}

/** The name of a file that is read when the connection opens; that it is there is checked with the configuration. */
const file = (description: string, more = {}) =>
  z
    .string()
    .optional()
    .meta({ description, file: true, ...more })

/** TLS settings of a client connection: file names, read when the connection opens. */
export const clientTls = () =>
  z
    .strictObject({
      ca: file('CA certificate file to trust (PEM).'),
      cert: file('Client certificate file (PEM).'),
      key: file('Client key file (PEM), unencrypted.', { private: true }),
      crl: file('File with the revocation lists of every CA in use (PEM); revoked certificates are refused.'),
      serverName: z.string().optional().meta({ description: 'Expected name in the server certificate.' }),
    })
    .meta({ description: 'TLS; an empty object trusts the system CAs.' })
