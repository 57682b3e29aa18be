/** A part that is loaded by whoever needs it first, and then there for all. */
export function once<Part>(load: () => Promise<Part>): () => Promise<Part> {
  let part: Promise<Part> | undefined
  return () => {
    part ??= load()
    return part
  }
}
