/** Which parts of a file are secret: for the warning that they stand there in plain text, and to keep them from excerpts. */
import type { z } from 'zod'
import type { Path } from './diagnostic.ts'
import type { SecretText } from './document.ts'
import type { Scene } from './scene.ts'
import { gatewaySection } from './schema.ts'
import { isSecret, schemasAt } from './schema-walk.ts'
import { describeValue } from './where.ts'

/** A key whose name alone says enough, for places no schema describes. */
export const secretName = /pass(word|phrase|wd)|secret|token/i
const urlPassword = /^([a-z][a-z0-9+.-]*:\/\/([^/?#@:]*):)([^/?#@]*)@/i

/** Warns of every secret the file itself holds; returns all secret texts. */
export function checkSecrets(
  scene: Scene,
  connections: { protocolOf(name: string): { connection: z.ZodType } | undefined },
) {
  const found: SecretText[] = []
  const roots: [Path, z.ZodType | undefined][] = [[['gateway'], gatewaySection]]
  const { connections: declared } = scene.root
  const names = typeof declared === 'object' && declared !== null ? Object.keys(declared) : []
  for (const name of names) roots.push([['connections', name], connections.protocolOf(name)?.connection])
  for (const [root, schema] of roots) found.push(...secretsBelow(scene, root, schema))
  return found
}

function* secretsBelow(scene: Scene, root: Path, schema: z.ZodType | undefined): Generator<SecretText> {
  for (const { path, written, hasReference } of scene.document.texts(root)) {
    const url = urlPassword.exec(written)
    const steps = path.slice(root.length)
    const isWholeSecret =
      schema !== undefined && steps.some((_, i) => schemasAt(schema, steps.slice(0, i + 1)).some(isSecret))
    if (url !== null) {
      const [, before = '', user, password = ''] = url
      const part = { offset: before.length, length: password.length }
      if (password.includes('${') || password === '') continue
      // guest:guest is nobody's secret
      if (password !== user) warn(scene, path, part)
      yield { path, part }
      continue
    }
    const isSecretHere = isWholeSecret || steps.some((step) => secretName.test(String(step)))
    if (!isSecretHere || written.includes('://') || !holdsText(written)) continue
    if (isWholeSecret && (!hasReference || defaultOfReference.test(written))) warn(scene, path, undefined)
    yield { path }
  }
}

const defaultOfReference = /\$\{env:\w+:-[^}]+\}/

/** True unless the text is references and nothing else. */
function holdsText(written: string): boolean {
  return written.replaceAll(/\$\{(env:\w+(:-)?|file:[^}]*)\}/g, '') !== ''
}

function warn({ report, root }: Scene, path: Path, part: SecretText['part']): void {
  const message = `${describeValue(path, root)}: ${part ? 'the password in this URL' : 'this secret'} is written in plain text`
  const help = 'keep it out of the file: `${env:NAME}` or `${file:/run/secrets/name}`'
  report.add('TRV4002', message, part ? { path, ...part } : { path, on: 'value' }, { help })
}
