/** Requests whose answers are fetched later: taken and handed out at a desk, kept on disk, asked when there is room. */
import { Asking, type AskingParts } from './asking.ts'
import { Desk, type DeskParts } from './desk.ts'

export { Promises } from './promises.ts'

export class Later {
  readonly asking: Asking
  readonly desk: Desk

  constructor(parts: AskingParts & Omit<DeskParts, 'asking'>) {
    this.asking = new Asking(parts)
    this.desk = new Desk({ ...parts, asking: this.asking })
  }

  end(error: Error): void {
    this.desk.end()
    this.asking.end(error)
  }
}
