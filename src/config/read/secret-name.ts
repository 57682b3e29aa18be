/** A key whose name alone says that its value is secret, for places no schema describes. */
export const secretName = /pass(word|phrase|wd)|secret|token/i
