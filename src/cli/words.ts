/** `1 route`, `2 routes`. */
export const counted = (many: number, thing: string): string => `${many} ${thing}${many === 1 ? '' : 's'}`

/** As a shell would have to be given it. */
export const quoted = (text: string): string =>
  /^[\w@%+=:,./~-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
