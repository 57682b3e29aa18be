import type { Deliver } from '../../../src/adapter/contract.ts'
import { RetryableError } from '../../../src/errors.ts'
import type { Link } from './connection.ts'
import type { Intake } from './intake.ts'

/** A connection that is read, and what arrives on it; the same for what routes read and for replies. */
export class Reception {
  #link: Link | undefined
  #intake: Intake | undefined

  /** After `close`, where there was another. */
  begin(link: Link, intake: Intake): void {
    this.#link = link
    this.#intake = intake
    intake.start(link)
    void link.lost().then((error) => intake.stop(error))
  }

  /** As `Source.consume`. */
  async consume(deliver: Deliver, signal: AbortSignal): Promise<void> {
    if (this.#intake === undefined) throw new RetryableError('PEER_LOST', 'the source is not open')
    await this.#intake.consume(deliver, signal)
  }

  async close(): Promise<void> {
    const [link, intake] = [this.#link, this.#intake]
    this.#link = undefined
    this.#intake = undefined
    intake?.stop(new RetryableError('PEER_LOST', 'the source was closed'))
    await link?.close()
  }
}
