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
    summary: 'Rounds half away from zero, optionally to a number of decimal places.',
    example: 'round(21.456, 1)',
    gives: 21.5,
    signatures: ['double', 'int'].flatMap((type) => [`round(${type}): ${type}`, `round(${type}, int): ${type}`]),
  },
  ...(['floor', 'ceil'] as const).map((name) => ({
    name,
    call: `${name}(number)`,
    summary: `Rounds ${name === 'floor' ? 'down' : 'up'} to an integer.`,
    example: `${name}(-1.5)`,
    gives: name === 'floor' ? -2 : -1,
    signatures: [`${name}(double): double`, `${name}(int): int`],
  })),
  {
    name: 'abs',
    call: 'abs(number)',
    summary: 'The absolute value.',
    example: 'abs(-7)',
    gives: 7,
    signatures: ['abs(double): double', 'abs(int): int'],
  },
  {
    name: 'int',
    call: 'int(x)',
    summary: 'Converts a number or a string to an integer.',
    example: "int('12')",
    gives: 12,
  },
  { name: 'uint', call: 'uint(x)', summary: 'Converts to an unsigned integer.', example: "uint('12')", gives: 12 },
  {
    name: 'double',
    call: 'double(x)',
    summary: 'Converts to a floating-point number.',
    example: "double('1.5')",
    gives: 1.5,
  },
]

const textFunctions: readonly FunctionRow[] = [
  {
    name: 'contains',
    call: 'text.contains(part)',
    summary: 'True if the string contains it.',
    example: "'alarm'.contains('lar')",
    gives: true,
  },
  {
    name: 'startsWith',
    call: 'text.startsWith(part)',
    summary: 'True if the string starts with it.',
    example: "'alarm'.startsWith('al')",
    gives: true,
  },
  {
    name: 'endsWith',
    call: 'text.endsWith(part)',
    summary: 'True if the string ends with it.',
    example: "'alarm'.endsWith('rm')",
    gives: true,
  },
  {
    name: 'matches',
    call: 'text.matches(pattern)',
    summary: 'True if the regular expression (RE2) matches; the pattern must be a literal.',
    example: "'E42'.matches('^E[0-9]+$')",
    gives: true,
  },
  {
    name: 'replace',
    call: 'text.replace(old, new)`, `text.replace(old, new, limit)',
    summary: 'Replaces every `old`, or only the first ones.',
    example: "'a-b-c'.replace('-', '/')",
    gives: 'a/b/c',
    signatures: ['string.replace(string, string): string', 'string.replace(string, string, int): string'],
  },
  {
    name: 'split',
    call: 'text.split(separator)`, `text.split(separator, limit)',
    summary: 'Splits into a list.',
    example: "'a,b'.split(',')",
    gives: ['a', 'b'],
  },
  {
    name: 'join',
    call: 'list.join()`, `list.join(separator)',
    summary: 'Joins a list of strings.',
    example: "['a', 'b'].join('-')",
    gives: 'a-b',
  },
  {
    name: 'substring',
    call: 'text.substring(start)`, `text.substring(start, end)',
    summary: 'A substring; `end` is exclusive.',
    example: "'alarm'.substring(1, 3)",
    gives: 'la',
  },
  {
    name: 'indexOf',
    call: 'text.indexOf(part)`, `text.indexOf(part, from)',
    summary: 'Position of the first occurrence; -1: none.',
    example: "'alarm'.indexOf('a')",
    gives: 0,
  },
  {
    name: 'lastIndexOf',
    call: 'text.lastIndexOf(part)`, `text.lastIndexOf(part, from)',
    summary: 'Position of the last occurrence; -1: none.',
    example: "'alarm'.lastIndexOf('a')",
    gives: 2,
  },
  {
    name: 'lowerAscii',
    call: 'text.lowerAscii()',
    summary: 'Lower case.',
    example: "'ON'.lowerAscii()",
    gives: 'on',
  },
  {
    name: 'upperAscii',
    call: 'text.upperAscii()',
    summary: 'Upper case.',
    example: "'on'.upperAscii()",
    gives: 'ON',
  },
  {
    name: 'trim',
    call: 'text.trim()',
    summary: 'Trims white space at both ends.',
    example: "' on '.trim()",
    gives: 'on',
  },
  {
    name: 'string',
    call: 'string(x)`, `bytes.string()',
    summary: 'Converts a number, boolean or bytes to a string.',
    example: 'string(1.5)',
    gives: '1.5',
  },
]

const sized: readonly FunctionRow[] = [
  {
    name: 'size',
    call: 'size(x)`, `x.size()',
    summary: 'Number of characters, bytes, list elements or map entries.',
    example: "size('äö')",
    gives: 2,
  },
  {
    name: 'bytes',
    call: 'bytes(text)',
    summary: 'The bytes of a string in UTF-8.',
    example: "size(bytes('äö'))",
    gives: 4,
  },
  {
    name: 'base64',
    call: 'base64(x)`, `x.base64()',
    summary: 'Encodes bytes, or a string in UTF-8, as base64.',
    example: "base64('ok')",
    gives: 'b2s=',
    signatures: ['base64(string): string', 'base64(bytes): string', 'string.base64(): string'],
  },
  {
    name: 'hex',
    call: 'bytes.hex()',
    summary: 'Hexadecimal, two digits per byte.',
    example: "bytes('ok').hex()",
    gives: '6f6b',
  },
  { name: 'at', call: 'bytes.at(index)', summary: 'The byte at an index.', example: "bytes('ok').at(0)", gives: 111 },
  {
    name: 'json',
    call: 'bytes.json()',
    summary: 'Parses JSON.',
    example: `bytes('{"a":1}').json().a`,
    gives: 1,
  },
]

const kinds: readonly FunctionRow[] = [
  {
    name: 'has',
    call: 'has(field)',
    summary: 'True if the field exists; null counts as existing.',
    example: 'has(payload.none)',
    gives: false,
  },
  { name: 'bool', call: 'bool(x)', summary: 'Converts a string to a boolean.', example: "bool('true')", gives: true },
  {
    name: 'type',
    call: 'type(x)',
    summary: 'The type, to compare with `string`, `int`, `double`, `bool`, `bytes`, `list`, `map`.',
    example: "type('a') == string",
    gives: true,
  },
  {
    name: 'dyn',
    call: 'dyn(x)',
    summary: 'Marks a value as dynamic: its type is checked per message.',
    example: 'dyn(1)',
    gives: 1,
  },
]

const lists: readonly FunctionRow[] = [
  {
    name: 'all',
    call: 'list.all(x, test)',
    summary: 'True if the condition holds for every element (of a map: every key).',
    example: '[1, 2].all(x, x > 0)',
    gives: true,
  },
  {
    name: 'exists',
    call: 'list.exists(x, test)',
    summary: 'True if it holds for at least one.',
    example: '[1, 2].exists(x, x > 1)',
    gives: true,
  },
  {
    name: 'exists_one',
    call: 'list.exists_one(x, test)',
    summary: 'True if it holds for exactly one.',
    example: '[1, 2].exists_one(x, x > 1)',
    gives: true,
  },
  {
    name: 'filter',
    call: 'list.filter(x, test)',
    summary: 'The elements for which it holds.',
    example: '[1, 2].filter(x, x > 1)',
    gives: [2],
  },
  {
    name: 'map',
    call: 'list.map(x, value)`, `list.map(x, test, value)',
    summary: 'Maps each element, or only those that pass the test.',
    example: '[1, 2].map(x, x * 2)',
    gives: [2, 4],
  },
  ...(['min', 'max'] as const).map((name) => ({
    name,
    call: `list.${name}()`,
    summary: `The ${name === 'min' ? 'least' : 'greatest'} of numbers, texts or times; an empty list has none.`,
    example: `[3, 1, 2].${name}()`,
    gives: name === 'min' ? 1 : 3,
    signatures: [`list.${name}(): dyn`],
  })),
  ...(['minBy', 'maxBy'] as const).map((name) => ({
    name,
    call: `list.${name}(path)`,
    summary: `The element whose value at the path is the ${name === 'minBy' ? 'least' : 'greatest'}; those without one do not count.`,
    example: `[{'p': {'x': 2}}, {'p': {'x': 1}}].${name}('p.x').p.x`,
    gives: name === 'minBy' ? 1 : 2,
    signatures: [`list.${name}(string): dyn`],
  })),
  {
    name: 'sum',
    call: 'list.sum()',
    summary: 'The sum of numbers; of none 0.',
    example: '[1, 2.5].sum()',
    gives: 3.5,
    signatures: ['list.sum(): dyn'],
  },
  {
    name: 'average',
    call: 'list.average()',
    summary: 'The mean of numbers; an empty list has none.',
    example: '[1, 2].average()',
    gives: 1.5,
    signatures: ['list.average(): dyn'],
  },
  {
    name: 'merge',
    call: 'list.merge()',
    summary: 'One map of a list of maps; of a name that several have, the last counts.',
    example: "[{'a': 1, 'b': 1}, {'b': 2}].merge()",
    gives: { a: 1, b: 2 },
    signatures: ['list.merge(): dyn'],
  },
  {
    name: 'bind',
    call: 'cel.bind(name, value, expression)',
    summary: 'Evaluates the expression with the name bound to the value.',
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
    summary:
      'Parses an RFC 3339 string, or seconds since 1970. Timestamps can be compared; their difference is a duration.',
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
  avg: 'average',
  mean: 'average',
  best: 'minBy',
  lowest: 'min',
  highest: 'max',
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
