import { once } from 'node:events'
import { connect } from 'node:net'
import { withDeadline } from '../../../src/adapter/deadline.ts'
import { eventually } from '../poll.ts'

export interface Question {
  readonly port: number
  /** First bytes of a client. */
  readonly request: Uint8Array
  /** Judges the first bytes of the answer. */
  readonly isAnswer: (bytes: Buffer) => boolean
  readonly withinMs: number
}

/** Resolves when what listens at the port answers in its protocol, which an open port alone does not prove. */
export async function answers(question: Question): Promise<void> {
  const what = `an answer at port ${question.port}`
  await eventually(() => ask(question), { withinMs: question.withinMs, what })
}

async function ask({ port, request, isAnswer }: Question): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    socket.write(request)
    const [bytes] = await withDeadline(once(socket, 'data'), 1_000, 'an answer')
    return isAnswer(bytes)
  } finally {
    socket.on('error', () => {}).destroy()
  }
}
