/** Rows as text, for the log of a test and for a terminal. */

export type Row = Readonly<Record<string, string | number>>

/** Numbers to the right, words to the left; columns in the order of the first row. */
export function tableOf(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {})
  const widthOf = (name: string) => Math.max(name.length, ...rows.map((row) => String(row[name] ?? '').length))
  const widths = new Map(columns.map((name) => [name, widthOf(name)]))
  const cell = (name: string, value: string | number | undefined) => {
    const text = String(value ?? '')
    return typeof value === 'number' ? text.padStart(widths.get(name)!) : text.padEnd(widths.get(name)!)
  }
  const lines = rows.map((row) => columns.map((name) => cell(name, row[name])).join('  '))
  const isNumber = (name: string) => typeof rows[0]?.[name] === 'number'
  const header = columns.map((name) =>
    isNumber(name) ? name.padStart(widths.get(name)!) : name.padEnd(widths.get(name)!),
  )
  return [header.join('  '), ...lines].join('\n')
}
