/** How many of something came in the last whole window of time; after a window without any, none. */
export class Rate {
  readonly #windowMs: number
  #beganMs = performance.now()
  #counted = 0
  #perWindow = 0

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  count(): void {
    this.#counted += 1
  }

  get perWindow(): number {
    const sinceMs = performance.now() - this.#beganMs
    if (sinceMs >= this.#windowMs) {
      this.#perWindow = (this.#counted * this.#windowMs) / sinceMs
      this.#counted = 0
      this.#beganMs += sinceMs
    }
    return this.#perWindow
  }
}
