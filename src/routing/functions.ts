/** The functions of expressions: what the reference shows, and the signatures of those the library does not have. */

export interface FunctionRow {
  readonly name: string
  /** How it is written. */
  readonly call: string
  readonly summary: string
  readonly example: string
  /** What the example gives; absent where that depends on the message. */
  readonly gives?: unknown
  /** CEL's signatures of a function of our own. */
  readonly signatures?: readonly string[]
}

const time = 'google.protobuf.Timestamp'

const numbers: readonly FunctionRow[] = [
  {
    name: 'round',
    call: 'round(number)`, `round(number, places)',
    summary: 'Rounded, half away from zero; to so many decimal places.',
    example: 'round(21.456, 1)',
    gives: 21.5,
    signatures: ['double', 'int'].flatMap((type) => [`round(${type}): ${type}`, `round(${type}, int): ${type}`]),
  },
  ...(['floor', 'ceil'] as const).map((name) => ({
    name,
    call: `${name}(number)`,
    summary: `The next whole number ${name === 'floor' ? 'below' : 'above'}.`,
    example: `${name}(-1.5)`,
    gives: name === 'floor' ? -2 : -1,
    signatures: [`${name}(double): double`, `${name}(int): int`],
  })),
  {
    name: 'abs',
    call: 'abs(number)',
    summary: 'Without its sign.',
    example: 'abs(-7)',
    gives: 7,
    signatures: ['abs(double): double', 'abs(int): int'],
  },
  { name: 'int', call: 'int(x)', summary: 'A whole number of a number or a text.', example: "int('12')", gives: 12 },
  { name: 'uint', call: 'uint(x)', summary: 'A whole number from 0.', example: "uint('12')", gives: 12 },
  { name: 'double', call: 'double(x)', summary: 'A decimal number.', example: "double('1.5')", gives: 1.5 },
]

const textFunctions: readonly FunctionRow[] = [
  {
    name: 'contains',
    call: 'text.contains(part)',
    summary: 'Whether it stands in it.',
    example: "'alarm'.contains('lar')",
    gives: true,
  },
  {
    name: 'startsWith',
    call: 'text.startsWith(part)',
    summary: 'Whether it begins so.',
    example: "'alarm'.startsWith('al')",
    gives: true,
  },
  {
    name: 'endsWith',
    call: 'text.endsWith(part)',
    summary: 'Whether it ends so.',
    example: "'alarm'.endsWith('rm')",
    gives: true,
  },
  {
    name: 'matches',
    call: 'text.matches(pattern)',
    summary: 'Whether the regular expression (RE2) finds something; the pattern is written in the rule.',
    example: "'E42'.matches('^E[0-9]+$')",
    gives: true,
  },
  {
    name: 'replace',
    call: 'text.replace(old, new)`, `text.replace(old, new, limit)',
    summary: 'With every `old`, or the first ones, replaced.',
    example: "'a-b-c'.replace('-', '/')",
    gives: 'a/b/c',
    signatures: ['string.replace(string, string): string', 'string.replace(string, string, int): string'],
  },
  {
    name: 'split',
    call: 'text.split(separator)`, `text.split(separator, limit)',
    summary: 'A list of its parts.',
    example: "'a,b'.split(',')",
    gives: ['a', 'b'],
  },
  {
    name: 'join',
    call: 'list.join()`, `list.join(separator)',
    summary: 'One text of a list of texts.',
    example: "['a', 'b'].join('-')",
    gives: 'a-b',
  },
  {
    name: 'substring',
    call: 'text.substring(start)`, `text.substring(start, end)',
    summary: 'A part of it; `end` is not included.',
    example: "'alarm'.substring(1, 3)",
    gives: 'la',
  },
  {
    name: 'indexOf',
    call: 'text.indexOf(part)`, `text.indexOf(part, from)',
    summary: 'Where it stands first; -1: nowhere.',
    example: "'alarm'.indexOf('a')",
    gives: 0,
  },
  {
    name: 'lastIndexOf',
    call: 'text.lastIndexOf(part)`, `text.lastIndexOf(part, from)',
    summary: 'Where it stands last; -1: nowhere.',
    example: "'alarm'.lastIndexOf('a')",
    gives: 2,
  },
  {
    name: 'lowerAscii',
    call: 'text.lowerAscii()',
    summary: 'In small letters.',
    example: "'ON'.lowerAscii()",
    gives: 'on',
  },
  {
    name: 'upperAscii',
    call: 'text.upperAscii()',
    summary: 'In capitals.',
    example: "'on'.upperAscii()",
    gives: 'ON',
  },
  {
    name: 'trim',
    call: 'text.trim()',
    summary: 'Without white space around it.',
    example: "' on '.trim()",
    gives: 'on',
  },
  {
    name: 'string',
    call: 'string(x)`, `bytes.string()',
    summary: 'A text of a number, true or false, or bytes.',
    example: 'string(1.5)',
    gives: '1.5',
  },
]

const sized: readonly FunctionRow[] = [
  {
    name: 'size',
    call: 'size(x)`, `x.size()',
    summary: 'Characters of a text, bytes, elements of a list, names of a map.',
    example: "size('äö')",
    gives: 2,
  },
  { name: 'bytes', call: 'bytes(text)', summary: 'Its bytes in UTF-8.', example: "size(bytes('äö'))", gives: 4 },
  {
    name: 'base64',
    call: 'base64(x)`, `x.base64()',
    summary: 'Bytes, or a text in UTF-8, as base64.',
    example: "base64('ok')",
    gives: 'b2s=',
    signatures: ['base64(string): string', 'base64(bytes): string', 'string.base64(): string'],
  },
  { name: 'hex', call: 'bytes.hex()', summary: 'Two digits a byte.', example: "bytes('ok').hex()", gives: '6f6b' },
  { name: 'at', call: 'bytes.at(index)', summary: 'One byte.', example: "bytes('ok').at(0)", gives: 111 },
  {
    name: 'json',
    call: 'bytes.json()',
    summary: 'The object that stands in it as JSON.',
    example: `bytes('{"a":1}').json().a`,
    gives: 1,
  },
]

const kinds: readonly FunctionRow[] = [
  {
    name: 'has',
    call: 'has(field)',
    summary: 'Whether it is there; null is there.',
    example: 'has(payload.none)',
    gives: false,
  },
  { name: 'bool', call: 'bool(x)', summary: 'True or false of a text.', example: "bool('true')", gives: true },
  {
    name: 'type',
    call: 'type(x)',
    summary: 'Its kind, to compare with `string`, `int`, `double`, `bool`, `bytes`, `list`, `map`.',
    example: "type('a') == string",
    gives: true,
  },
  {
    name: 'dyn',
    call: 'dyn(x)',
    summary: 'The same, of a kind that only the message tells.',
    example: 'dyn(1)',
    gives: 1,
  },
]

const lists: readonly FunctionRow[] = [
  {
    name: 'all',
    call: 'list.all(x, test)',
    summary: 'Whether it holds for every element (of a map: every name).',
    example: '[1, 2].all(x, x > 0)',
    gives: true,
  },
  {
    name: 'exists',
    call: 'list.exists(x, test)',
    summary: 'Whether it holds for one at least.',
    example: '[1, 2].exists(x, x > 1)',
    gives: true,
  },
  {
    name: 'exists_one',
    call: 'list.exists_one(x, test)',
    summary: 'Whether it holds for exactly one.',
    example: '[1, 2].exists_one(x, x > 1)',
    gives: true,
  },
  {
    name: 'filter',
    call: 'list.filter(x, test)',
    summary: 'Those for which it holds.',
    example: '[1, 2].filter(x, x > 1)',
    gives: [2],
  },
  {
    name: 'map',
    call: 'list.map(x, value)`, `list.map(x, test, value)',
    summary: 'A list of what is made of each, or of those for which the test holds.',
    example: '[1, 2].map(x, x * 2)',
    gives: [2, 4],
  },
  {
    name: 'bind',
    call: 'cel.bind(name, value, expression)',
    summary: 'The expression, in which the name stands for the value.',
    example: 'cel.bind(x, 3, x * x)',
    gives: 9,
  },
]

const messages: readonly FunctionRow[] = [
  {
    name: 'now',
    call: 'now()',
    summary:
      'When the gateway received the message (again, where it comes back from the dead letters). It stays the same however often it is decided upon, over a restart too.',
    example: "now() - timestamp(timestamp) > duration('5m')",
    signatures: [`now(): ${time}`],
  },
  {
    name: 'uuid',
    call: 'uuid()',
    summary:
      'A UUID made of `messageId` and `source`: one and the same for a message, however often it is decided upon.',
    example: 'uuid()',
    signatures: ['uuid(): string'],
  },
]

const partOfTime = (name: string, summary: string, gives: number): FunctionRow => ({
  name,
  call: `time.${name}()\`, \`time.${name}(zone)`,
  summary,
  example: `timestamp('2026-03-04T05:06:07.008Z').${name}()`,
  gives,
})

const times: readonly FunctionRow[] = [
  {
    name: 'timestamp',
    call: 'timestamp(x)',
    summary: 'A time of an RFC 3339 text, or of seconds since 1970. Times are compared, and differ by a duration.',
    example: "timestamp('2026-03-04T05:06:07Z') > timestamp(0)",
    gives: true,
  },
  {
    name: 'duration',
    call: 'duration(text)',
    summary: 'A length of time: `1h30m`, `500ms`.',
    example: "duration('90m') == duration('1h30m')",
    gives: true,
  },
  partOfTime('getFullYear', 'The year.', 2026),
  partOfTime('getMonth', 'The month, from 0.', 2),
  partOfTime('getDate', 'The day of the month, from 1.', 4),
  partOfTime('getDayOfMonth', 'The day of the month, from 0.', 3),
  partOfTime('getDayOfWeek', 'The day of the week, from 0, which is Sunday.', 3),
  partOfTime('getDayOfYear', 'The day of the year, from 0.', 62),
  partOfTime('getHours', 'The hour; of a duration all its hours.', 5),
  partOfTime('getMinutes', 'The minute; of a duration all its minutes.', 6),
  partOfTime('getSeconds', 'The second; of a duration all its seconds.', 7),
  partOfTime('getMilliseconds', 'The millisecond; of a duration all its milliseconds.', 8),
]

export const functionGroups: readonly (readonly [title: string, rows: readonly FunctionRow[]])[] = [
  ['The message', messages],
  ['Numbers', numbers],
  ['Text', textFunctions],
  ['Sizes and bytes', sized],
  ['Kinds', kinds],
  ['Lists', lists],
  ['Times', times],
]

export const functionRows: readonly FunctionRow[] = functionGroups.flatMap(([, rows]) => rows)

/** What people call them elsewhere. */
const elsewhere: Readonly<Record<string, string>> = {
  len: 'size',
  length: 'size',
  count: 'size',
  lower: 'lowerAscii',
  tolower: 'lowerAscii',
  tolowercase: 'lowerAscii',
  upper: 'upperAscii',
  toupper: 'upperAscii',
  touppercase: 'upperAscii',
  includes: 'contains',
  substr: 'substring',
  slice: 'substring',
  tostring: 'string',
  str: 'string',
  float: 'double',
  number: 'double',
  toint: 'int',
  parseint: 'int',
  parsefloat: 'double',
  any: 'exists',
  some: 'exists',
  every: 'all',
  ceiling: 'ceil',
  truncate: 'int',
  regex: 'matches',
  match: 'matches',
  strip: 'trim',
  date: 'timestamp',
  time: 'timestamp',
  guid: 'uuid',
  concat: 'join',
  'base64.encode': 'base64',
}

export const nameElsewhere = (name: string): string | undefined =>
  Object.hasOwn(elsewhere, name.toLowerCase()) ? elsewhere[name.toLowerCase()] : undefined
