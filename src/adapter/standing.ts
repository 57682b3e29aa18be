/**
 * What a source has asked of its broker, and the broker keeps without it: the subscriptions of a session, the bindings of
 * a queue. Remembered in the store, so that what no route asks for any more can be undone, or told.
 */
import type { Context, Kept } from './contract.ts'

const space = 'standing'

export interface Wish {
  /** For people: what the broker keeps, and where. */
  readonly text: string
}

/** The wishes of one source, by name. */
export class Standing<Item extends Wish> {
  readonly #kept: Kept | undefined
  readonly #group: string

  constructor({ kept, group = '' }: Pick<Context, 'kept' | 'group'>) {
    this.#kept = kept
    this.#group = group
  }

  all(): Map<string, Item> {
    const found = new Map<string, Item>()
    for (const [key, value] of this.#kept?.all(space) ?? []) {
      const [group, name] = JSON.parse(key) as [string, string]
      if (group === this.#group) found.set(name, itemOf<Item>(value))
    }
    return found
  }

  put(name: string, item: Item): void {
    this.#kept?.put({ space, key: this.#key(name), value: Buffer.from(JSON.stringify(item)) })
  }

  delete(name: string): void {
    this.#kept?.delete(space, this.#key(name))
  }

  /** Resolves when the store remembers all of it. */
  async flushed(): Promise<void> {
    await this.#kept?.flushed()
  }

  #key(name: string): string {
    return JSON.stringify([this.#group, name])
  }
}

/** Forgets what the sources of a connection have left that is read no more, and gives its texts. */
export function abandoned(kept: Kept, groups: ReadonlySet<string>): readonly string[] {
  const texts = new Set<string>()
  for (const [key, value] of kept.all(space)) {
    const [group] = JSON.parse(key) as [string, string]
    if (groups.has(group)) continue
    kept.delete(space, key)
    texts.add(itemOf<Wish>(value).text)
  }
  return [...texts]
}

function itemOf<Item>(value: Uint8Array): Item {
  return JSON.parse(Buffer.from(value).toString()) as Item
}
