/** The JavaScript of `dist/`: every package but those of `dependencies` inside it, in chunks that load when they are needed. */
import { join, relative } from 'node:path'
import { type Plugin, type RolldownLog, rolldown } from 'rolldown'
import { root } from './root.ts'

/** Where the program is entered: by `bin/trivium.js`, and by whoever imports the package. */
const entries = { cli: 'src/cli/main.ts', index: 'src/index.ts' }
/** Faster ways of doing the same, which `ws` looks for and works without. */
const absent = ['bufferutil', 'utf-8-validate']

/** Writes the bundle, and resolves with the modules that are in it, by their paths. Throws where a package is not found. */
export async function writeBundle(directory: string, external: readonly string[]): Promise<readonly string[]> {
  const bundle = await rolldown({
    cwd: root,
    input: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, join(root, file)])),
    platform: 'node',
    external: [...external, ...absent],
    plugins: [withoutBallast(), kafkajsInside()],
    onLog: (_level, log) => fail(log),
  })
  const { output } = await bundle.write({
    dir: directory,
    format: 'esm',
    chunkFileNames: '[name]-[hash].js',
    sourcemap: true,
    sourcemapExcludeSources: true,
    comments: { legal: true, annotation: false, jsdoc: false },
  })
  await bundle.close()
  return output.flatMap((chunk) => (chunk.type === 'chunk' ? chunk.moduleIds : []))
}

/** What `bin/trivium.js` does by hooks in a clone: of zod's languages English alone, and `bin/quiet-debug.cjs`. */
function withoutBallast(): Plugin {
  const quiet = join(root, 'bin/quiet-debug.cjs')
  return {
    name: 'without-ballast',
    resolveId(specifier, importer = '') {
      if (specifier === 'debug' && importer !== quiet) return quiet
      const isList = specifier === '../locales/index.js' && importer.includes('/node_modules/zod/')
      return isList ? this.resolve('../locales/en.js', importer) : null
    },
  }
}

/** The Kafka client asks for kafkajs's inner modules by a `createRequire` of its own, which no bundler follows. */
function kafkajsInside(): Plugin {
  return {
    name: 'kafkajs-inside',
    transform: (code, id) =>
      id.endsWith('protocols/kafka/client/guard.ts')
        ? { code: code.replaceAll(/\bload\('(kafkajs[^']+)'\)/g, "require('$1')"), map: null }
        : null,
  }
}

function fail(log: RolldownLog): void {
  throw new Error(`bundle: ${relative(root, log.id ?? '.')}: ${log.message}`)
}
