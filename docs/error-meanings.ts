/** One line on each error code: what it means, and what to do. The compiler demands a line for every code. */
import type { ErrorCode } from '../src/errors.ts'

export const errorMeanings: Readonly<Record<ErrorCode, { readonly meaning: string; readonly whatToDo: string }>> = {
  MESSAGE_REFUSED: {
    meaning: 'The target permanently refused this message.',
    whatToDo: 'Read the reason in the dead letter; fix the message or the rule that produced it.',
  },
  MESSAGE_UNROUTABLE: {
    meaning: 'The broker has nowhere to put it: no queue is bound for the routing key.',
    whatToDo: 'Bind a queue, or correct `exchange` and `routingKey`.',
  },
  MESSAGE_TOO_LARGE: {
    meaning: 'The message is larger than the target accepts.',
    whatToDo: "Raise the broker's limit (and `maxMessageSize` of AMQP), or send less.",
  },
  MESSAGE_MALFORMED: {
    meaning:
      'The body is not a valid envelope or CloudEvent, though `format` or its content type says so, or a header is nested too deeply. Other bodies are not checked.',
    whatToDo: 'Fix the sender, or read the messages with `format: raw`.',
  },
  MESSAGE_EXPIRED: {
    meaning: 'Its time to live expired before it could be delivered.',
    whatToDo: 'Find out why it waited (`trivium_endpoint_up`), or give it more time.',
  },
  DESTINATION_LIMIT: {
    meaning: 'Its destination would exceed `maxDestinations` of the target: messages choose too many different ones.',
    whatToDo:
      'Find out who sends such values. List the valid ones in `allow`, or raise `maxDestinations`; then requeue.',
  },
  MESSAGE_LOOPING: {
    meaning: 'It passed through this gateway too often: routes or gateways form a loop.',
    whatToDo: 'Give the routes addresses that do not feed each other; `trivium validate` finds loops within one file.',
  },
  MESSAGE_UNWANTED: {
    meaning:
      'The rules changed while it waited in the store, and no longer send it to this target. Of a request: its route’s rules let it go nowhere.',
    whatToDo:
      'Discard it if that was intended. Otherwise fix the rules (a filter, `when`, the name of a capture) and requeue it.',
  },
  MESSAGE_POISONOUS: {
    meaning: 'The gateway crashed five times in a row while processing this message.',
    whatToDo: 'Inspect the dead letter and report the crash; requeue it once the cause is fixed.',
  },
  TARGET_BUSY: {
    meaning: 'The target asked to retry later, for example because of a full queue or a quota.',
    whatToDo: 'Nothing at first: the message is retried. If it persists, give the target more capacity.',
  },
  EXPRESSION_BUDGET: {
    meaning:
      'The rules would take more than 50 ms of work or 64 MiB for this message: it is far larger, or deeper, than they were written for.',
    whatToDo:
      'Fix the sender, or evaluate less of the message: a loop within a loop over its lists, a regular expression on a long text.',
  },
  TRANSFORM_FAILED: {
    meaning: '`set` failed for this message; the text names the field that is missing or has the wrong type.',
    whatToDo: 'Guard the expression in `when` with `has(…)`, or fix the sender.',
  },
  DESTINATION_INVALID: {
    meaning: 'A destination built from a message is invalid, not in `allow`, or lacks a value.',
    whatToDo: 'Check the template and the message in the dead letter; extend `allow` if the destination was right.',
  },
  REPLY_TIMEOUT: {
    meaning: 'No reply to the request came within its `timeout`.',
    whatToDo: 'Look whether the replier runs and answers to the address it was given, or give it more time. Ask again.',
  },
  REPLY_UNEXPECTED: {
    meaning: 'A reply that nobody waits for: it came late, its asker is gone, or it names no request of this gateway.',
    whatToDo:
      'Give the request more time, or mend what the replier sends as correlation. `late: drop` keeps none of them.',
  },
  REPLY_ADDRESS_MISSING: {
    meaning: 'A request does not say where its answer should go.',
    whatToDo: 'Have the asker name its reply address, or say in `request.to` where answers go.',
  },
  TOO_FEW_REPLIES: {
    meaning: 'Of the targets of a scatter fewer than `minimum` gave a good answer.',
    whatToDo: 'Read `results` in the error: it has what each target said.',
  },
  GATEWAY_STOPPING: {
    meaning: 'The gateway stopped before the reply came.',
    whatToDo: 'Ask again; `gateway.drain` is how long a stop waits for replies.',
  },
  PEER_UNREACHABLE: {
    meaning:
      'Cannot connect to the broker: nothing listens, the name does not resolve, or the certificate is not trusted.',
    whatToDo: 'Check address, network and TLS. Messages wait; the gateway keeps reconnecting.',
  },
  PEER_TIMEOUT: {
    meaning: 'The broker did not answer in time.',
    whatToDo: 'Check the load of the broker and the network. Unconfirmed messages are sent again.',
  },
  PEER_LOST: {
    meaning: 'The connection ended.',
    whatToDo: "Nothing: the gateway reconnects. If it recurs, read the broker's log.",
  },
  CREDENTIALS_REFUSED: {
    meaning: 'The broker rejected the credentials or the certificate.',
    whatToDo: 'Correct them. The gateway retries, so a fix at the broker needs no restart.',
  },
  ACCESS_DENIED: {
    meaning: 'The user lacks the permission to read, write or declare there.',
    whatToDo: 'Grant the permission named in the error. Messages wait meanwhile.',
  },
  NOT_FOUND: {
    meaning: 'The queue, exchange or topic does not exist.',
    whatToDo: 'Create it, or let the gateway declare it where the protocol can. Messages wait meanwhile.',
  },
  DESTINATION_UNAVAILABLE: {
    meaning:
      'One destination is temporarily unavailable, such as a partition without a leader or with too few replicas.',
    whatToDo: 'Check the broker. Messages for it wait and are retried; others are not held up.',
  },
  PEER_FAILED: {
    meaning: 'The broker answered with an error of its own.',
    whatToDo: "Read the broker's log; the gateway retries.",
  },
  CONFIG_INVALID: {
    meaning: 'The configuration, a file it names, or an address it listens on cannot be used.',
    whatToDo: 'Run `trivium validate`; starting again will not help.',
  },
  PORT_IN_USE: {
    meaning: 'Another process uses the port of the embedded broker, of an HTTP listener or of the admin server.',
    whatToDo: 'Stop it, or change `listen` of the connection or `gateway.admin.listen`.',
  },
  USAGE: {
    meaning: 'A command was called with wrong arguments.',
    whatToDo: '`trivium help <command>` shows examples.',
  },
  FILE_MISSING: {
    meaning: 'A file that was named cannot be read, such as a certificate.',
    whatToDo: 'Check the path and the rights of the user the gateway runs as.',
  },
  DRAIN_INCOMPLETE: {
    meaning: 'Not everything in flight was delivered within `gateway.drain`.',
    whatToDo: 'Nothing is lost: the source redelivers it. Raise `gateway.drain` if targets are slow.',
  },
  STORE_IN_USE: {
    meaning: 'Another process has the store of this data directory open.',
    whatToDo: 'Stop it, or give each gateway a `gateway.dataDir` of its own.',
  },
  STORE_FAILED: {
    meaning: 'A disk operation failed: the disk is full, read-only or broken.',
    whatToDo: 'Check the disk and the permissions of `gateway.dataDir`. Nothing is acknowledged that is not safe.',
  },
  STORE_DAMAGED: {
    meaning: 'The store file is damaged and cannot be read.',
    whatToDo: 'Move the file away and restore a backup, or start with an empty data directory.',
  },
  STORE_FULL: {
    meaning: 'As many bytes wait as `store.maxBytes` allows, or dead letters take up `store.deadLetters.maxBytes`.',
    whatToDo:
      'Find out why the target does not take them; requeue or discard dead letters; raise the limit, or set `onFull`.',
  },
  INTERNAL: {
    meaning: 'A bug.',
    whatToDo: 'Report it with the log line and its stack. Nothing acknowledged is lost.',
  },
}
