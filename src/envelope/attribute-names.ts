/** The CloudEvents attributes that carry canonical fields, or say how a message is to be read. */
export const attributes = [
  'id',
  'source',
  'type',
  'specversion',
  'time',
  'datacontenttype',
  'correlationid',
  'partitionkey',
  'expirytime',
  'trvdest',
  'trvversion',
  'trvpriority',
  'trvttl',
  'trvretry',
  'trvreply',
  'trvhops',
  'trvtypes',
  'trvheaders',
] as const
export type Attribute = (typeof attributes)[number]
