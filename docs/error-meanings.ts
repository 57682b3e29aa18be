/** One line on each error code: what it means, and what to do. The compiler demands a line for every code. */
import type { ErrorCode } from '../src/errors.ts'

export const errorMeanings: Readonly<Record<ErrorCode, { readonly meaning: string; readonly whatToDo: string }>> = {
  MESSAGE_REFUSED: {
    meaning: 'The target refused this message for good.',
    whatToDo: 'Read the reason in the dead letter; mend the message or the rule that made it.',
  },
  MESSAGE_UNROUTABLE: {
    meaning: 'The broker has nowhere to put it: no queue is bound for the routing key.',
    whatToDo: 'Bind a queue, or correct `exchange` and `routingKey`.',
  },
  MESSAGE_TOO_LARGE: {
    meaning: 'It is larger than the target takes.',
    whatToDo: "Raise the broker's limit (and `maxMessageSize` of AMQP), or send less.",
  },
  MESSAGE_MALFORMED: {
    meaning:
      'The body is no envelope or CloudEvent, though `format` or its content type says so, or a header is nested too deep. Other bodies are not judged.',
    whatToDo: 'Mend the sender, or read it with `format: raw`.',
  },
  MESSAGE_EXPIRED: {
    meaning: 'Its time to live was over before it could be delivered.',
    whatToDo: 'Find out why it waited (`trivium_endpoint_up`), or give it more time.',
  },
  DESTINATION_LIMIT: {
    meaning: 'It would make one destination more than `maxDestinations` of its target: messages choose too many.',
    whatToDo: 'Look who sends such values. Name the right ones in `allow`, or raise `maxDestinations`; then requeue.',
  },
  MESSAGE_LOOPING: {
    meaning: 'It passed through this gateway too often: routes or gateways form a loop.',
    whatToDo:
      'Give the routes addresses that do not feed each other; `trivium validate` finds circles within one file.',
  },
  MESSAGE_UNWANTED: {
    meaning: 'It waited in the store while the rules were changed, and by the new ones it does not go to this target.',
    whatToDo:
      'Discard it if that was meant. Else mend the rules (a filter, `when`, the name of a capture) and requeue it.',
  },
  MESSAGE_POISONOUS: {
    meaning: 'The gateway died five times in a row while it had this message in hand.',
    whatToDo: 'Look at the message in the dead letters and report the crash; requeue it once the cause is mended.',
  },
  TARGET_BUSY: {
    meaning: 'The target asked to come again later, such as a full queue or a quota.',
    whatToDo: 'Nothing at first: it is tried again. If it stays, give the target more room.',
  },
  EXPRESSION_BUDGET: {
    meaning:
      'The rules would take more than 50 ms of work or 64 MiB for this message: it is far larger, or deeper, than they were written for.',
    whatToDo:
      'Mend the sender, or look at less of the message: a loop within a loop over its lists, a regular expression on a long text.',
  },
  TRANSFORM_FAILED: {
    meaning: '`set` could not be carried out for this message; it says which field is not there, or of another kind.',
    whatToDo: 'Guard the expression in `when` with `has(…)`, or mend the sender.',
  },
  DESTINATION_INVALID: {
    meaning: 'A destination made from a message is not legal, not in `allow`, or lacks a value.',
    whatToDo: 'Look at the template and at the message in the dead letter; extend `allow` if it was right.',
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
    meaning: 'No connection to the broker: nobody listens, the name does not resolve, the certificate is not trusted.',
    whatToDo: 'Check address, network and TLS. Messages wait; it is tried again all the time.',
  },
  PEER_TIMEOUT: {
    meaning: 'The broker did not answer in time.',
    whatToDo: 'Look at the load of the broker and the network. What was unconfirmed is sent again.',
  },
  PEER_LOST: {
    meaning: 'The connection ended.',
    whatToDo: 'Nothing: it is opened again. If it recurs, read the log of the broker.',
  },
  CREDENTIALS_REFUSED: {
    meaning: 'The broker does not accept user and password, or the certificate.',
    whatToDo: 'Correct them. It is tried again, so mending them at the broker needs no restart.',
  },
  ACCESS_DENIED: {
    meaning: 'The user may not do this: read, write or declare there.',
    whatToDo: 'Grant the right named in the error. Messages wait meanwhile.',
  },
  NOT_FOUND: {
    meaning: 'The queue, exchange or topic is not there.',
    whatToDo: 'Create it, or let the gateway declare it where the protocol can. Messages wait meanwhile.',
  },
  DESTINATION_UNAVAILABLE: {
    meaning: 'One destination takes nothing for now, such as a partition without a leader or with too few replicas.',
    whatToDo: 'Look at the broker. Messages for it wait and are tried again; what goes elsewhere is not held up.',
  },
  PEER_FAILED: {
    meaning: 'The broker answered with an error of its own.',
    whatToDo: 'Read the log of the broker; it is tried again.',
  },
  CONFIG_INVALID: {
    meaning: 'The configuration, a file it names, or an address it listens on cannot be used.',
    whatToDo: 'Run `trivium validate`; starting again will not help.',
  },
  PORT_IN_USE: {
    meaning: 'Somebody else listens on the port of the embedded broker or the admin server.',
    whatToDo: 'End the other, or change `listen` or `gateway.admin.listen`.',
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
    meaning: 'Not everything in flight was delivered before the time to stop was over.',
    whatToDo: 'Nothing is lost: its source gives it again. Raise `gateway.drain` if targets are slow.',
  },
  STORE_IN_USE: {
    meaning: 'Another process has the store of this data directory open.',
    whatToDo: 'Stop it, or give each gateway a `gateway.dataDir` of its own.',
  },
  STORE_FAILED: {
    meaning: 'The disk did not do what the store asked: it is full, read-only or broken.',
    whatToDo: 'Look at the disk and the rights of `gateway.dataDir`. Nothing is acknowledged that is not safe.',
  },
  STORE_DAMAGED: {
    meaning: 'The file of the store cannot be read as one.',
    whatToDo: 'Put the file aside and restore a copy, or start with an empty data directory.',
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
