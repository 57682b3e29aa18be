/** A mistake in a rule's text, found when it is compiled. `offset` and `length` point into that text, in UTF-16 units. */
export class RuleError extends Error {
  override readonly name = 'RuleError'
  readonly offset: number
  readonly length: number
  /** What the author may have meant, e.g. the nearest name that exists. */
  readonly hint: string | undefined
  constructor(message: string, place: { offset: number; length: number; hint?: string | undefined }) {
    super(message)
    this.offset = place.offset
    this.length = place.length
    this.hint = place.hint
  }
}
