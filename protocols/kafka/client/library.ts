/** Native libraries that are loaded when they are first needed. */

/** Loads a library once. Where it cannot be, the error says so, and has the code ENOSYS: no message is at fault. */
export function libraryOf<T>(name: string, load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined
  return () => {
    loaded ??= load().catch((cause: unknown) => {
      loaded = undefined
      throw Object.assign(new Error(missing(name), { cause }), { code: 'ENOSYS' })
    })
    return loaded
  }
}

function missing(name: string): string {
  const { platform, arch } = process
  return `the package ${name} has no library for ${platform} on ${arch} here: install it without --omit=optional`
}
