/** Names of headers come again and again: they are found by their bytes, instead of being made anew for each message. */
const slots = 512
const longest = 40
const names: string[] = new Array(slots).fill('')

/** The name in `bytes`; undefined: it is long, or not ASCII. */
export function nameIn(bytes: Uint8Array, start: number, length: number): string | undefined {
  if (length > longest) return undefined
  let hash = length
  for (let i = start; i < start + length; i += 1) {
    const byte = bytes[i] as number
    if (byte > 0x7f) return undefined
    hash = (hash * 31 + byte) | 0
  }
  const slot = hash & (slots - 1)
  const known = names[slot] as string
  if (known.length === length && isSame(known, bytes, start)) return known
  const name = String.fromCharCode(...bytes.subarray(start, start + length))
  names[slot] = name
  return name
}

function isSame(name: string, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < name.length; i += 1) if (name.charCodeAt(i) !== bytes[start + i]) return false
  return true
}
