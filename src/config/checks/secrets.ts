/** Which parts of a file are secret: for the warning that they stand there in plain text, and to keep them from excerpts. */
import type { z } from 'zod'
import { secretPart } from '../../adapter/address.ts'
import type { WrittenValue } from '../read/document.ts'
import { secretName } from '../read/secret-name.ts'
import type { Path, SecretText, Span } from '../report/diagnostic.ts'
import { describeValue } from '../report/where.ts'
import type { LinkedScene, Scene } from '../schema/scene.ts'
import { gatewaySection } from '../schema/schema.ts'
import { isAddress, isSecret, schemasAt } from '../schema/schema-walk.ts'

/** Warns of every secret the file itself holds; returns all secret texts. */
export function checkSecrets(scene: LinkedScene): SecretText[] {
  const found: SecretText[] = []
  for (const value of scene.document.values()) {
    const [section, name] = value.path
    const isConnection = section === 'connections'
    const base = isConnection ? 2 : 1
    const known = isConnection ? scene.connections.protocolOf(String(name))?.connection : undefined
    const schema = section === 'gateway' ? gatewaySection : known
    const isOpen = section !== 'gateway' && !isConnection // rules: only what looks like an address is secret in them
    const secret = isOpen ? addressIn(value, []) : secretOf(value, schema, value.path.slice(base))
    if (secret === undefined) continue
    found.push(secret.text)
    if (secret.isWarned) warn(scene, value.path, secret.caret)
  }
  return found
}

interface Secret {
  readonly text: SecretText
  /** The part of an address that is the password. */
  readonly caret?: Span
  /** Told to the user: it stands in the file in plain text. */
  readonly isWarned: boolean
}

function secretOf(value: WrittenValue, schema: z.ZodType | undefined, steps: Path): Secret | undefined {
  const schemas = steps.map((_, i) => (schema === undefined ? [] : schemasAt(schema, steps.slice(0, i + 1))))
  const isDeclared = schemas.some((some) => some.some(isSecret))
  const isNamed = steps.some((step) => secretName.test(String(step)))
  if (!isDeclared && (!isNamed || value.written?.includes('://'))) return addressIn(value, schemas.at(-1) ?? [])
  const { path, written, hasReference } = value
  if (written && !holdsText(written)) return undefined
  const isPlain = written && (!hasReference || defaultOfReference.test(written))
  return { text: { path }, isWarned: Boolean(isDeclared && isPlain) }
}

/** The user and password of an address; all of it where it is broken in a way that leaves them unknown. */
function addressIn({ path, written }: WrittenValue, schemas: readonly z.core.$ZodType[]): Secret | undefined {
  const isDeclared = schemas.some(isAddress)
  if (written === undefined || (!isDeclared && !written.includes('://'))) return undefined
  const all = secretPart(written)
  if (all === undefined) return isDeclared && !looksPlain(written) ? { text: { path }, isWarned: false } : undefined
  const userInfo = written.slice(all.offset, all.offset + all.length)
  const colon = userInfo.replaceAll(reference, (text) => ' '.repeat(text.length)).indexOf(':') + 1
  if (!holdsText(userInfo.slice(colon))) return undefined
  const password = { offset: all.offset + colon, length: all.length - colon }
  // guest:guest is nobody's secret
  const [user, shownPassword] = [userInfo.slice(0, Math.max(0, colon - 1)), userInfo.slice(colon)].map(withDefaults)
  const isWarned = colon > 1 && user !== shownPassword
  return { text: { path, part: all }, caret: password, isWarned }
}

/** No more than a host, a port and a path, or a reference: whatever is wrong with it, it shows no password. */
function looksPlain(written: string): boolean {
  const plain = /^([a-z][a-z0-9+.-]*:\/\/)?([\w.-]*|\[?[0-9a-f:.]*\]?)(:\d+)?(\/[\w%./-]*)?$/i
  return plain.test(written.replaceAll(/\$\{[^}]*\}/g, ''))
}

const reference = /\$\{(env:\w+(:-)?|file:[^}]*)\}/g
const defaultOfReference = /\$\{env:\w+:-[^}]+\}/

/** What stands in the file where no variable is set. */
function withDefaults(written: string): string {
  return written.replaceAll(/\$\{env:\w+:-([^}]*)\}/g, '$1')
}

/** True unless the text is references and nothing else. */
function holdsText(written: string): boolean {
  return written.replaceAll(reference, '') !== ''
}

function warn({ report, root }: Scene, path: Path, part: Span | undefined): void {
  const message = `${describeValue(path, root)}: ${part ? 'the password in this URL' : 'this secret'} is written in plain text`
  const help = 'keep it out of the file: `${env:NAME}` or `${file:/run/secrets/name}`'
  report.add('TRV4002', message, part ? { path, ...part } : { path, on: 'value' }, { help })
}
