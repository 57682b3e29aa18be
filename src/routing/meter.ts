/**
 * What the evaluation under way may still cost. It is charged where an operation's cost depends on the size of a value: for
 * what is looked at or built, before that is done. Ordinary rules hardly meet it. Evaluation is synchronous, so one counter
 * is enough. Measured in docs/decisions/0014-expression-meter.md.
 */

/**
 * A unit stands for some 25 ns of work and at most 64 bytes, all of them for 20 ms and 50 MiB: the rest of what is allowed is
 * for code that runs for the first time, and for what a value costs once it is written.
 */
const budget = 800_000
const unitsPerMicrosecond = 40

let left = budget
let isHeld = false
let spent = 0

/** What `charge` throws; no message of its own, since only who evaluates knows the rule. */
export const exhausted = new Error('an expression exceeded its budget')

export const limits = '50 ms of work or 64 MiB'

/** Begins an evaluation, unless it is a part of one that is held. */
export function beginEvaluation(): void {
  if (!isHeld) left = budget
}

/** All evaluations until `releaseBudget` share one budget. */
export function holdBudget(): void {
  left = budget
  isHeld = true
}

export function releaseBudget(): void {
  isHeld = false
  spent += budget - left
}

/** What all that shared a budget has cost since the process began, in whole budgets: one is some 20 ms. */
export function budgetsSpent(): number {
  return spent / budget
}

/** Throws `exhausted` where the budget does not suffice. */
export function charge(units: number): void {
  left -= units
  if (left < 0) throw exhausted
}

/** For a text that is built or read through, character by character. */
export function chargeText(length: number): void {
  charge(length >> 3)
}

/** For a text that is only compared or copied. */
export function chargeCopy(length: number): void {
  charge(length >> 5)
}

/** For work whose cost only shows when it is done. It must be bounded by itself. */
export function chargeTime<T>(work: () => T): T {
  const before = usedMicros()
  const result = work()
  charge((usedMicros() - before) * unitsPerMicrosecond)
  return result
}

/** Before Node 22.19 nothing tells what this thread alone has used; what the process has used is never less. */
const usedMicros = (): number => (process.threadCpuUsage ?? process.cpuUsage)().user

/** Whether a rule of the evaluation under way met a field that is not there, or of another kind, and did not end with that. */
export const missed = { any: false }
