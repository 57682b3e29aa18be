import type { Problem } from '../report/diagnostic.ts'
import { whyUnreadable } from '../report/unreadable.ts'

/** Where `${env:NAME}` and `${file:/path}` get their values. */
export interface ReferenceSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Text of a file; throws when it cannot be read. */
  readonly readFile: (path: string) => string
}

export interface Filled {
  readonly text: string
  /** Whether anything was filled in. */
  readonly hasReference: boolean
  readonly problems: readonly Problem[]
}

// `${HOME}` and `${vault:x}` are caught too: as plain text they would be a surprise in a password
const reference = /\$\{(?:([A-Za-z]+):([^}]*)|([A-Z_][A-Z0-9_]*))\}/g

/** Fills the references of one scalar in. */
export function fillReferences(text: string, sources: ReferenceSources): Filled {
  if (!text.includes('${')) return { text, hasReference: false, problems: [] }
  const problems: Problem[] = []
  let hasReference = false
  const filled = text.replaceAll(
    reference,
    (whole, kind: string | undefined, argument: string, bare, offset: number) => {
      hasReference = true
      const found = resolve({ kind, argument, bare }, sources)
      if (typeof found === 'string') return isInUserInfo(text, offset + whole.length) ? escapeUserInfo(found) : found
      problems.push({ ...found, offset, length: whole.length })
      return ''
    },
  )
  return { text: filled, hasReference, problems }
}

type Resolved = string | Omit<Problem, 'offset' | 'length'>

function resolve(
  { kind, argument, bare }: { kind: string | undefined; argument: string; bare: string | undefined },
  sources: ReferenceSources,
): Resolved {
  if (kind === 'env') return resolveEnv(argument, sources)
  if (kind === 'file') return resolveFile(argument, sources)
  const written = bare ?? `${kind}:${argument}`
  return {
    code: 'TRV1008',
    message: `unknown reference \`\${${written}}\``,
    help: `write \`\${env:${bare ?? 'NAME'}}\`, \`\${env:${bare ?? 'NAME'}:-default}\` or \`\${file:/path}\``,
  }
}

function resolveEnv(argument: string, { env }: ReferenceSources): Resolved {
  const [, name = '', fallback] = /^([^:]*)(?::-(.*))?$/s.exec(argument) ?? []
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    return {
      code: 'TRV1008',
      message: `\`\${env:${argument}}\` does not name an environment variable`,
      help: 'write `${env:NAME}` or `${env:NAME:-default}`',
    }
  }
  const value = env[name]
  if (fallback !== undefined) return value === undefined || value === '' ? fallback : value
  return (
    value ?? {
      code: 'TRV1006',
      message: `environment variable \`${name}\` is not set`,
      help: `set it, or give a default: \`\${env:${name}:-default}\``,
    }
  )
}

function resolveFile(path: string, { readFile }: ReferenceSources): Resolved {
  try {
    // a secret written by an editor or by echo ends in a line break that nobody means
    return readFile(path).replace(/\r?\n$/, '')
  } catch (error) {
    return { code: 'TRV1007', message: `file \`${path}\` cannot be read: ${whyUnreadable(error)}` }
  }
}

/** True when what ends at `offset` is part of the `user:password@` of a URL. */
function isInUserInfo(text: string, offset: number): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) && /^(\$\{[^}]*\}|[^/?#@])*@/.test(text.slice(offset))
}

/** A password may hold characters a URL gives a meaning to; what is escaped already stays as it is. */
function escapeUserInfo(text: string): string {
  return text.replaceAll(/%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=%]/gu, (character) =>
    encodeURIComponent(character),
  )
}
