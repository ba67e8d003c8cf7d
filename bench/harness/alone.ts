/**
 * Each suite is measured in a process of its own. In one process for all, what a suite finds depends on which others ran before it: the compiler has met more
 * kinds of objects by then, and the heap is fuller. So a part measured with `--only` is the same as in a whole run.
 */
import { fork } from 'node:child_process'
import type { ClockResult, CurveResult, SuiteResult } from './model.ts'

/** What a process is to measure. */
export interface Part {
  /** Of a suite or a curve; undefined for a comparison of the clocks. */
  readonly id: string | undefined
  readonly peers: boolean
  readonly rounds: number | undefined
  readonly pin: boolean
  readonly seed: number
}

export type Outcome =
  | { readonly suite: SuiteResult }
  | { readonly curve: CurveResult }
  | { readonly clocks: readonly ClockResult[] }

/** What that process says: how far it is, and at the end what it found, or why it could not, in a sentence. */
export type Said =
  | { readonly share: number; readonly what: string }
  | { readonly pinned: string; readonly outcome: Outcome }
  | { readonly failed: string }

/** ms. A process that says nothing for so long hangs: the longest step of any contender takes seconds. */
const patience = 180_000

/**
 * Measures a part in a process of its own, with the options of this one. Rejects where that process says why it fails, with that sentence; ends without a
 * result; says nothing for too long, and then it is ended; or is to stop, and is ended as well. What it wrote about that is on the terminal.
 */
export function measuredAlone(
  program: URL,
  part: Part,
  progress: (share: number, what: string) => void,
  { longest = patience, stop }: { readonly longest?: number; readonly stop?: AbortSignal } = {},
): Promise<{ readonly pinned: string; readonly outcome: Outcome }> {
  const child = fork(program, { serialization: 'advanced', ...(stop !== undefined && { signal: stop }) })
  return new Promise((resolve, reject) => {
    let last = 'its start'
    const silence = setTimeout(() => {
      reject(
        new Error(`The process that measured ${part.id ?? 'the clocks'} said nothing for ${longest / 1_000} s after ${last}.`),
      )
      child.kill('SIGKILL')
    }, longest)
    child.on('message', (said: Said) => {
      silence.refresh()
      if ('share' in said) {
        last = `"${said.what}"`
        return progress(said.share, said.what)
      }
      if ('failed' in said) reject(new Error(said.failed))
      else resolve(said)
      // It takes that as its leave.
      child.disconnect()
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      clearTimeout(silence)
      reject(
        new Error(
          `The process that measured ${part.id ?? 'the clocks'} ended with ${signal ?? `code ${code}`}, without a result.`,
        ),
      )
    })
    child.send(part)
  })
}
