/**
 * Ends a run with one line alone, `412 passed, 0 failed`, and fails a run that left something out.
 *
 * A skipped or todo test fails the run, and so does a run without any test: a suite that is green because it was not
 * executed says nothing. Only `vitest -t NAME`, with which a developer leaves tests out on purpose, may skip.
 */

import type { Reporter, SerializedError, TestModule, Vitest } from 'vitest/node'

export class ClosingLine implements Reporter {
  #vitest: Vitest | undefined

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const filtered = this.#vitest?.config.testNamePattern !== undefined
    const { lines, ok } = closing(modules, unhandled.length, filtered)
    if (!ok) process.exitCode = 1
    process.stdout.write(`${lines.join('\n')}\n`)
  }
}

type Module = Pick<TestModule, 'relativeModuleId' | 'errors'> & {
  children: { allTests(): Iterable<{ fullName: string; result(): { state: string } }> }
}

/** What to print, the closing line last, and whether the run may count as passed. */
export function closing(modules: readonly Module[], unhandled: number, filtered: boolean): { lines: string[]; ok: boolean } {
  const lines: string[] = []
  let passed = 0
  let failed = unhandled
  for (const module of modules) {
    // A module that could not be loaded has an error and no tests.
    failed += module.errors().length
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      if (state === 'passed') {
        passed++
      } else if (state === 'failed') {
        failed++
      } else if (!filtered) {
        failed++
        lines.push(`Not run, and counted as failed: ${module.relativeModuleId} > ${test.fullName}`)
      }
    }
  }
  if (passed + failed === 0) lines.push('No test was run.')
  lines.push(`${passed} passed, ${failed} failed`)
  return { lines, ok: failed === 0 && passed > 0 }
}
