/** A mapping that two schemas share: the keys every such mapping has, and those of the protocol it names. */
import type { z } from 'zod'
import type { SettingsProblem } from '../../adapter/protocol.ts'
import { nearestName } from '../../routing/nearest.ts'
import type { Path } from '../report/diagnostic.ts'
import { describePlace, describeValue } from '../report/where.ts'
import { parse } from './parse.ts'
import { isMapping, type Scene } from './scene.ts'
import { homeOf, suggestKey } from './schema-problems.ts'
import { keysOf } from './schema-walk.ts'

export interface SharedMapping<Common> {
  readonly common: z.ZodType<Common>
  /** The protocol's schema; undefined when the protocol is not known. */
  readonly own: z.ZodType | undefined
  /** Every schema `own` could have been: a typo is found even where the protocol is not known. Empty: nothing is said. */
  readonly possible: readonly z.ZodType[]
}

/** Each half of the mapping, as far as it is right. Reports what is wrong. */
export function parsePart<Common>(scene: Scene, path: Path, raw: Record<string, unknown>, part: SharedMapping<Common>) {
  const commonKeys = keysOf(part.common)
  const [shared, rest] = split(raw, commonKeys)
  const parseCommon = () => parse(scene, part.common, shared, { path })
  if (part.own !== undefined) {
    const own = parse(scene, part.own, rest, { path, siblings: commonKeys })
    return { common: parseCommon(), own }
  }
  if (part.possible.length === 0) return { common: parseCommon(), own: undefined }
  const allowed = [...new Set([...commonKeys, ...part.possible.flatMap(keysOf)])]
  const misspelt = reportUnknownKeys(scene, path, raw, { allowed, told: commonKeys })
  const isExcused = commonKeys.some((key) => !Object.hasOwn(raw, key) && misspelt.has(key))
  return { common: isExcused ? undefined : parseCommon(), own: undefined }
}

/** Reports keys that are not allowed, naming `told`; returns the names that were probably meant. */
export function reportUnknownKeys(
  { report, root }: Scene,
  path: Path,
  raw: Record<string, unknown>,
  { allowed, told = allowed }: { allowed: readonly string[]; told?: readonly string[] },
): Set<string> {
  const meant = new Set<string>()
  for (const key of Object.keys(raw).filter((name) => !allowed.includes(name))) {
    const suggestion = suggestKey(key, allowed, raw)
    if (suggestion !== undefined) meant.add(suggestion)
    const message = `unknown key \`${key}\` in ${describePlace(path, root)}`
    report.add(
      'TRV2001',
      message,
      { path: [...path, key], on: 'key' },
      { suggestion, allowed: told, help: homeOf(key) },
    )
  }
  return meant
}

/** The value when it is a mapping; reports it when it is not. */
export function asMapping({ report, root }: Scene, path: Path, value: unknown): Record<string, unknown> | undefined {
  if (isMapping(value)) return value
  const found = Array.isArray(value) ? 'a list' : value === null || value === undefined ? 'nothing' : 'a single value'
  const message = `${describeValue(path, root)}: expected a mapping (\`key: value\`), found ${found}`
  report.add('TRV2003', message, { path, on: 'value' })
  return undefined
}

/** Reports what a protocol itself has against settings that fit its schema. */
export function reportSettings({ report, root }: Scene, path: Path, problems: readonly SettingsProblem[]): boolean {
  for (const { path: within, message, help, unknown } of problems) {
    const full = [...path, ...within]
    const place = { path: full, on: within.length === 0 ? 'key' : 'value' } as const
    const words = unknown && { suggestion: nearestName(unknown.written, unknown.allowed), allowed: unknown.allowed }
    report.add('TRV2012', `${describeValue(full, root)}: ${message}`, place, { help, ...words })
  }
  return problems.length === 0
}

function split(raw: Record<string, unknown>, keys: readonly string[]) {
  const entries = Object.entries(raw)
  const isShared = ([key]: [string, unknown]) => keys.includes(key)
  return [
    Object.fromEntries(entries.filter(isShared)),
    Object.fromEntries(entries.filter((entry) => !isShared(entry))),
  ] as const
}
