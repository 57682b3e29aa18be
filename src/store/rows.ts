/** Rows of a statement, in the shape that its columns have: the one place where they are believed. */
import type { SQLInputValue, StatementSync } from 'node:sqlite'

export function allOf<Row>(statement: StatementSync, ...values: SQLInputValue[]): Row[] {
  return statement.all(...values) as Row[]
}

export function firstOf<Row>(statement: StatementSync, ...values: SQLInputValue[]): Row | undefined {
  return statement.get(...values) as Row | undefined
}

/** One after the other; the statement must not be used again before that is over. */
export function eachOf<Row>(statement: StatementSync, ...values: SQLInputValue[]): Iterable<Row> {
  return statement.iterate(...values) as Iterable<Row>
}
