/** Functions on numbers. Whole numbers of a rule are bigint, numbers of JSON are number. */

const maxDigits = 15

/** Half away from zero, as CEL has it; to so many decimal places. */
export function round(value: unknown, digits: unknown = 0): unknown {
  const places = typeof digits === 'bigint' ? Number(digits) : digits
  if (typeof places !== 'number' || !Number.isInteger(places) || places < 0 || places > maxDigits) return undefined
  return onNumber(value, (number) => (places === 0 ? roundWhole(number) : roundAt(number, places)))
}

export const floor = (value: unknown): unknown => onNumber(value, Math.floor)
export const ceil = (value: unknown): unknown => onNumber(value, Math.ceil)

export function abs(value: unknown): unknown {
  if (typeof value === 'bigint') return value < 0n ? -value : value
  return typeof value === 'number' ? Math.abs(value) : undefined
}

/** A whole number stays as it is. */
function onNumber(value: unknown, change: (number: number) => number): unknown {
  if (typeof value === 'bigint') return value
  if (typeof value !== 'number') return undefined
  return change(value) + 0 // no -0
}

function roundWhole(number: number): number {
  return Math.sign(number) * Math.round(Math.abs(number))
}

/** By its decimal digits: 1.005 * 100 is less than 100.5. */
function roundAt(number: number, places: number): number {
  const [digits, exponent = '0'] = String(Math.abs(number)).split('e')
  const rounded = Math.round(Number(`${digits}e${Number(exponent) + places}`))
  const [whole, more = '0'] = String(rounded).split('e')
  return Math.sign(number) * Number(`${whole}e${Number(more) - places}`)
}
