/** Whose headers a signature comes in. */
export const layouts = ['standard', 'github', 'stripe'] as const
export type Layout = (typeof layouts)[number]

/** Only Standard Webhooks has its secrets in base64, behind `whsec_`; Stripe's begin alike and are taken as they stand. */
export function keyOf(layout: Layout, secret: string): Buffer {
  const isEncoded = layout === 'standard' && secret.startsWith('whsec_')
  return isEncoded ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret)
}
