/**
 * Every code a diagnostic may carry. `docs/config-errors.md` is made from this list. 1xxx: the file cannot be read as
 * YAML; 2xxx: its shape is wrong; 3xxx: a rule is wrong; 4xxx: it works, but is probably not what was meant (warnings).
 */
export const diagnosticCodes = {
  TRV1001: 'The file is not valid YAML.',
  TRV1002: 'A tab is used for indentation; YAML allows spaces only.',
  TRV1003: 'A key appears twice in the same mapping.',
  TRV1004: 'The file is empty.',
  TRV1005: 'The file is not a mapping with `connections` and `routes`.',
  TRV1006: 'An environment variable the file refers to is not set and has no default.',
  TRV1007: 'A file the configuration refers to cannot be read.',
  TRV1008: 'A `${…}` reference is not of the form `${env:NAME}`, `${env:NAME:-default}` or `${file:/path}`.',
  TRV1009: 'A YAML alias has no anchor before it, or aliases expand to too much.',
  TRV1010: 'A module under `gateway.protocols` cannot be loaded, or exports no protocol with a new name.',
  TRV2001: 'A key is unknown here.',
  TRV2002: 'A required key is missing.',
  TRV2003: 'A value has the wrong type.',
  TRV2004: 'A value is not one of the allowed ones.',
  TRV2005: 'A value has the right type but is not valid.',
  TRV2006: 'A connection names a protocol that does not exist.',
  TRV2007: 'A route, or the sidecar API, names a connection that does not exist.',
  TRV2008: 'Two routes have the same name.',
  TRV2009: 'A route has no target.',
  TRV2010: 'The protocol cannot be read from.',
  TRV2011: 'The protocol cannot be sent to.',
  TRV2012: 'The protocol does not accept these settings together.',
  TRV2013: 'Routes that read from the same source give it different formats.',
  TRV2014: 'Settings of a route contradict each other.',
  TRV2015: 'The admin interface can be reached from other machines without a token, or the sidecar API by anyone.',
  TRV2016: 'A protocol cannot ask, or cannot reply, as `request` or `scatter` needs it.',
  TRV3001: 'An expression is wrong.',
  TRV3002: 'A capture in an address pattern is wrong; other mistakes in one are TRV2005.',
  TRV3003: 'A template in a target is wrong.',
  TRV3004: 'A sender could choose any destination: the template has no literal prefix, and `allow` is missing.',
  TRV3005: 'A destination can never be valid for its protocol.',
  TRV3006: 'A rule uses a capture that the `from` of its route does not define.',
  TRV3007: 'A filter clause is wrong.',
  TRV3008: 'A regular expression does not compile.',
  TRV3009: 'A path under `set` cannot be set.',
  TRV3010: 'Messages would loop forever.',
  TRV4002: 'A secret is written in plain text.',
  TRV4003: 'No route uses a connection.',
  TRV4004: 'Messages may loop unless a condition stops them.',
  TRV4006: 'A file with a secret can be read by every user of the machine.',
} as const
export type DiagnosticCode = keyof typeof diagnosticCodes

/** Warnings never keep a configuration from being used. */
export function severityOf(code: DiagnosticCode): 'error' | 'warning' {
  return code.startsWith('TRV4') ? 'warning' : 'error'
}
