import type { Delivery } from '../../adapter/contract.ts'
import type { CompiledReply } from '../../routing/reply.ts'
import type { CompiledRoute } from '../../routing/router.ts'
import type { Params } from '../../routing/subject.ts'
import type { LinkStats } from '../../telemetry/stats.ts'
import type { Reader } from '../intake.ts'
import type { Arrival } from '../message.ts'
import type { HeardReply } from './conversation.ts'
import type { ReplyLink } from './reply-link.ts'

/** Who finds the asker of a reply. */
export interface Switchboard {
  heard(token: string | undefined, reply: HeardReply, link: ReplyLink): void
}

/** What reads replies where a route says that they come: beside the routes that read the same source. */
export class ReplyReader implements Reader {
  readonly compiled: CompiledRoute
  readonly link: ReplyLink
  readonly #reply: CompiledReply
  readonly #switchboard: Switchboard

  constructor(parts: { compiled: CompiledRoute; link: ReplyLink; reply: CompiledReply; switchboard: Switchboard }) {
    this.compiled = parts.compiled
    this.link = parts.link
    this.#reply = parts.reply
    this.#switchboard = parts.switchboard
  }

  received(delivery: Delivery, params: Params, { at, link }: Arrival): void {
    const subject = { envelope: delivery.envelope, params, receivedAt: at }
    const token = this.#reply.tokenOf(subject)
    this.#switchboard.heard(token, heardReply(delivery, { params, at, link }), this.link)
  }
}

/** Counts it as settled with its source. */
export function heardReply(
  delivery: Delivery,
  { params, at, link }: { params: Params; at: number; link: LinkStats | undefined },
): HeardReply {
  return {
    envelope: delivery.envelope,
    params,
    receivedAt: at,
    settle(settlement) {
      if (link !== undefined) link.settled += 1
      delivery.settle(settlement)
    },
  }
}
