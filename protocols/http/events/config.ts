/** Settings of events out: a target with `events`, and what a listener keeps for those who follow it. */
import { z } from 'zod'
import { duration, refuse, size, timeLimit } from '../../../src/adapter/schema.ts'

const replay = z.strictObject({
  maxEvents: z.int().min(0).max(100_000).default(1_000).meta({
    description: 'Latest events of a path that are kept; 0 keeps none.',
  }),
  maxBytes: size().prefault('16MiB').meta({ description: 'Most bytes of those of all paths together.' }),
  maxAge: duration().prefault('1h').meta({ description: 'How long an event is kept.' }),
})
export type ReplaySettings = z.output<typeof replay>

export const eventsSettings = z.strictObject({
  maxReaders: z.int().min(1).max(65_535).default(1_000).meta({
    description: 'Most readers at once; beyond them the answer is 503.',
  }),
  maxReaderBuffer: size().prefault('1MiB').meta({
    description: 'Bytes that may wait for a slow reader; beyond them its connection ends.',
  }),
  heartbeat: timeLimit()
    .refine((ms) => ms >= 1_000, { error: 'expected at least 1s' })
    .prefault('15s')
    .meta({ description: 'How often readers get a comment, so that nothing between takes the connection for dead.' }),
  replay: replay.prefault({}).meta({
    description:
      'What is kept for readers that come back with `Last-Event-ID`: in the store for routes with `acknowledge: stored`, else in memory.',
  }),
})
export type EventsSettings = z.output<typeof eventsSettings>

export const EventsTarget = z
  .strictObject({
    events: z
      .string()
      .superRefine(refuse(templateProblem))
      .meta({
        description: 'Path of the listener that readers follow; values of a message are encoded, each is one level.',
        examples: ['/live/{params.site}'],
      }),
  })
  .meta({ title: 'With `events`: server-sent events, of a connection with `listen`' })
export type EventsTarget = z.output<typeof EventsTarget>

function templateProblem(text: string): string | undefined {
  return text.startsWith('/') ? undefined : 'a path begins with `/`'
}
