import type { Changes } from '../../admin/dead-letters-edit.ts'
import type { DiscardRequest, Filter, ListRequest, RequeueRequest } from '../../admin/dead-letters-request.ts'
import type { LetterRecord, LetterSummary } from '../../admin/dead-letters-view.ts'
import type { PieceDone } from '../../delivery/dead-letters/workbench.ts'

/** Which gateway is meant: `-c` or an argument, and `--url`. */
export interface PlaceOptions {
  readonly config?: string
  readonly url?: string
}

/** Where the commands do their work: a running gateway, or the store while no gateway runs. All reject with DeskError. */
export interface Desk {
  /** False where no gateway runs: what is requeued waits for the next start. */
  readonly isRunning: boolean
  /** `gateway.id` of whose dead letters they are. */
  readonly gateway: string
  /** Names of the routes as they are now. */
  routes(): Promise<readonly string[]>
  list(request: ListRequest): Promise<Listed>
  get(id: number): Promise<LetterRecord | undefined>
  requeue(request: RequeueRequest): Promise<PieceDone>
  discard(request: DiscardRequest): Promise<PieceDone>
  /** Undefined: there is no such letter. */
  edit(id: number, changes: Changes): Promise<LetterRecord | undefined>
  /** Records as lines of JSON. */
  export(filter: Filter): AsyncIterable<string>
  close(): Promise<void>
}

export interface Listed {
  readonly deadLetters: readonly LetterSummary[]
  /** How many the filter finds; its `where` is not looked at. */
  readonly total: number
  readonly next?: number | undefined
}

/** What ends a command: its message is for the user, its code is the process's. */
export class DeskError extends Error {
  override readonly name = 'DeskError'
  readonly exitCode: number
  constructor(exitCode: number, message: string) {
    super(message)
    this.exitCode = exitCode
  }
}
