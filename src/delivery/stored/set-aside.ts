import type { PermanentError } from '../../errors.ts'
import type { StoredMessage } from '../../store/contract.ts'
import type { DeadLetterOffice } from '../dead-letters/office.ts'
import type { Endings } from './endings.ts'
import { bitsOf, type StoredTarget } from './stored-target.ts'

/** What makes dead letters of messages that wait on disk, and of these are not on their way. */
export class SetAside {
  readonly #deadLetters: DeadLetterOffice
  readonly #endings: Endings

  constructor(deadLetters: DeadLetterOffice, endings: Endings) {
    this.#deadLetters = deadLetters
    this.#endings = endings
  }

  /** A message that none of its targets has seen is one letter, which will go to all of them again; else one for each of these. */
  letters(row: StoredMessage, error: PermanentError, targets: readonly StoredTarget[]): void {
    if (bitsOf(targets) === row.wanted) this.letter(row, error, targets)
    else for (const target of targets) this.letter(row, error, [target])
  }

  /** One letter for these; where there are several it names none. The message stays in the store until there is room for it. */
  letter(row: StoredMessage, error: PermanentError, targets: readonly StoredTarget[]): void {
    const bits = bitsOf(targets)
    const place = { attempts: 0, target: undefined, bit: targets.length === 1 ? bits : undefined }
    for (const { feed } of targets) feed.hold(row)
    const letGo = () => {
      for (const { feed } of targets) feed.letGo(row)
    }
    this.#deadLetters.bury(
      { message: row, error, place },
      {
        admitted: (dead) => {
          this.#endings.dead(row, { bits, dead })
          for (const { feed } of targets) feed.skip(row.id)
          letGo()
        },
        released: letGo,
      },
    )
  }

  /** These targets do not get it, and nobody misses it. */
  drop(row: StoredMessage, targets: readonly StoredTarget[]): void {
    this.#endings.dropped(row, { bits: bitsOf(targets) })
    for (const { feed } of targets) feed.skip(row.id)
  }
}
