/** Messages and outcomes of a test, and what of them it compares. */
import { randomUUID } from 'node:crypto'
import type { Delivery, Outbound, Outcome } from '../../../src/adapter/contract.ts'
import { Envelope, type EnvelopeFields } from '../../../src/envelope/envelope.ts'

/** For what nobody means to abort. */
export const never = new AbortController().signal

type Fields = Partial<Omit<EnvelopeFields, 'payload'>> & { readonly payload?: string | Uint8Array | null }

/** A message to send; what it does not say is of no matter. */
export function envelopeOf({ payload = 'hello', ...fields }: Fields = {}): Envelope {
  return new Envelope({
    messageId: randomUUID(),
    timestamp: '2026-02-03T04:05:06.789Z',
    source: 'test://somewhere/else',
    payload: payload === null ? null : Buffer.from(payload as string),
    ...fields,
  })
}

/** The same on its way to a target. */
export function outboundTo<Target>(target: Target, fields: Fields = {}): Outbound<Target> {
  return { envelope: envelopeOf(fields), target, format: undefined }
}

export const textOf = ({ envelope }: { readonly envelope: Envelope }): string =>
  Buffer.from(envelope.payload ?? []).toString()
export const textsOf = (deliveries: readonly Delivery[]): string[] => deliveries.map(textOf)

export const kinds = (outcomes: readonly Outcome[]) => outcomes.map(({ kind }) => kind)
export const codes = (outcomes: readonly Outcome[]) =>
  outcomes.map((outcome) => (outcome.kind === 'delivered' ? 'delivered' : outcome.error.code))
