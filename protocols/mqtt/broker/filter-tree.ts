/** Many topic filters as one: a topic is looked at once, however many filters there are. Pure. */

interface Level {
  readonly byName: Map<string, Level>
  /** `+` */
  one: Level | undefined
  /** A filter ends here with `#`. */
  isRest: boolean
  isEnd: boolean
}

const newLevel = (): Level => ({ byName: new Map(), one: undefined, isRest: false, isEnd: false })

export class FilterTree {
  readonly #root = newLevel()

  constructor(filters: readonly string[]) {
    for (const filter of filters) this.#add(filter)
  }

  /** True where one of the filters matches. Wildcards at the first level do not match `$` topics. [MQTT-4.7.2-1] */
  matches(topic: string): boolean {
    const levels = topic.split('/')
    if (!topic.startsWith('$')) return matchesFrom(this.#root, levels, 0)
    const first = this.#root.byName.get(levels[0] ?? '')
    return first !== undefined && matchesFrom(first, levels, 1)
  }

  #add(filter: string): void {
    let at = this.#root
    for (const name of filter.split('/')) {
      if (at.isRest) return // what follows is in it
      if (name === '#') {
        at.isRest = true
        return
      }
      at.one ??= name === '+' ? newLevel() : undefined
      at = name === '+' && at.one !== undefined ? at.one : namedLevel(at, name)
    }
    at.isEnd = true
  }
}

function namedLevel({ byName }: Level, name: string): Level {
  const level = byName.get(name) ?? newLevel()
  byName.set(name, level)
  return level
}

function matchesFrom(level: Level, topic: readonly string[], at: number): boolean {
  if (level.isRest) return true // `a/#` matches its parent `a` too [MQTT-4.7.1-2]
  const name = topic[at]
  if (name === undefined) return level.isEnd
  const named = level.byName.get(name)
  if (named !== undefined && matchesFrom(named, topic, at + 1)) return true
  return level.one !== undefined && matchesFrom(level.one, topic, at + 1)
}
