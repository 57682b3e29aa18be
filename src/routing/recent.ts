/** Of each of two generations; the older one is forgotten when the newer is full. */
const mostEach = 2_048
/** Longer texts and answers are rare, and would make a memory of any size out of a number. */
const longestText = 256
const longestAnswer = 16

/** The answers for texts that were asked for lately: devices say the same address again and again. */
export class Recent<Answer extends readonly unknown[]> {
  #newer = new Map<string, Answer>()
  #older = new Map<string, Answer>()

  /** The answer of last time, or what `find` finds now. */
  get(text: string, find: (text: string) => Answer): Answer {
    const known = this.#newer.get(text)
    if (known !== undefined) return known
    const answer = this.#older.get(text) ?? find(text)
    if (text.length > longestText || answer.length > longestAnswer) return answer
    if (this.#newer.size >= mostEach) {
      this.#older = this.#newer
      this.#newer = new Map()
    }
    this.#newer.set(text, answer)
    return answer
  }
}
