/** Where replies come from, as those see it that ask: a channel of a connection, or a source that a route names. */
export class ReplyLink {
  /** What replies are sent to; undefined: repliers know it otherwise. */
  readonly address: string | undefined
  /** What names another gateway is left alone. */
  readonly isShared: boolean
  readonly #onOpen: (() => void)[] = []
  #isOpen = false

  constructor({ address, isShared }: { address?: string | undefined; isShared: boolean }) {
    this.address = address
    this.isShared = isShared
  }

  /** Nothing is asked before: its reply would be lost. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  onOpen(listener: () => void): void {
    this.#onOpen.push(listener)
  }

  /** `during` is what it does while it is open. */
  async whileOpen(during: Promise<void>): Promise<void> {
    this.#isOpen = true
    for (const opened of this.#onOpen) opened()
    try {
      await during
    } finally {
      this.#isOpen = false
    }
  }
}
