import type { Path } from './diagnostic.ts'

/** Says in words where a mapping or list of the configuration is: "target 2 of route `alarms` (kafka)". */
export function describePlace(path: Path, root: unknown): string {
  const [section, first, part] = path
  if (section === undefined) return 'the configuration'
  if (section === 'connections' && first !== undefined) {
    const protocol = textAt(root, ['connections', first, 'protocol'])
    return within(path.slice(2), `connection \`${first}\`${protocol ? ` (${protocol})` : ''}`)
  }
  if (section === 'routes' && typeof first === 'number') return describeRoutePart(first, part, path, root)
  return within(path.slice(1), `\`${section}\``)
}

/** Names one value: "`qos` in target 2 of route `alarms`". */
export function describeValue(path: Path, root: unknown): string {
  const last = path.at(-1)
  const container = path.slice(0, -1)
  if (last === undefined || isPlaceOfItsOwn(path)) return describePlace(path, root)
  if (typeof last === 'number') return `entry ${last + 1} of ${describeValue(container, root)}`
  return container.length === 0 ? `\`${last}\`` : `\`${last}\` in ${describePlace(container, root)}`
}

function describeRoutePart(index: number, part: unknown, path: Path, root: unknown): string {
  const name = textAt(root, ['routes', index, 'name'])
  const route = name ? `route \`${name}\`` : `route ${index + 1}`
  if (part === undefined) return route
  if (part === 'from') return within(path.slice(3), `\`from\` of ${route}${protocolOf(path.slice(0, 3), root)}`)
  if (part === 'deadLetter')
    return within(path.slice(3), `\`deadLetter\` of ${route}${protocolOf(path.slice(0, 3), root)}`)
  const entry = path[3]
  if (part === 'to' && typeof entry === 'number') {
    return within(path.slice(4), `target ${entry + 1} of ${route}${protocolOf(path.slice(0, 4), root)}`)
  }
  if (part === 'filter' && typeof entry === 'number') return within(path.slice(4), `filter ${entry + 1} of ${route}`)
  return within(path.slice(2), route)
}

function isPlaceOfItsOwn(path: Path): boolean {
  if (path[0] === 'connections') return path.length === 2
  if (path[0] !== 'routes') return false
  return path.length === 2 || (path.length === 4 && (path[2] === 'to' || path[2] === 'filter'))
}

function within(inner: Path, outer: string): string {
  const keys = inner.join('.').replaceAll(/\.(\d+)(?=\.|$)/g, '[$1]')
  return inner.length === 0 ? outer : `\`${keys}\` of ${outer}`
}

function protocolOf(path: Path, root: unknown): string {
  const connection = textAt(root, [...path, 'connection'])
  const protocol = connection && textAt(root, ['connections', connection, 'protocol'])
  return protocol ? ` (${protocol})` : ''
}

/** The value at a path of plain data, undefined where it leads nowhere. */
export function valueAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, key) => {
    const isContainer = typeof inner === 'object' && inner !== null && Object.hasOwn(inner, key)
    return isContainer ? (inner as Record<string | number, unknown>)[key] : undefined
  }, root)
}

function textAt(root: unknown, path: Path): string | undefined {
  const value = valueAt(root, path)
  return typeof value === 'string' ? value : undefined
}
