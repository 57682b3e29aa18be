/** Whose headers a signature comes in. */
export const layouts = ['standard', 'github', 'stripe'] as const
export type Layout = (typeof layouts)[number]
