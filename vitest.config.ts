import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/support/closing-line.ts'

/** What only computes, or waits for a program that does: it takes a core for minutes, and shares the others with nobody whose time counts. */
const computing = [
  'test/fuzz/fuzz.test.ts',
  'test/mutants/sample.test.ts',
  'test/property/*.test.ts',
  'test/simulation/*.test.ts',
  'test/slots/interleavings.test.ts',
  'test/types.test.ts',
]

export default defineConfig({
  test: {
    environment: 'node',
    pool: 'forks',
    // Tests of what is given back call gc().
    execArgv: ['--expose-gc'],
    // Bounds a test that hangs; no test is meant to take as long.
    testTimeout: 30_000,
    allowOnly: false,
    reporters: ['default', new ClosingLine()],
    // The package under test is loaded by Node itself, as its users load it, and not rewritten by the test runner.
    server: { deps: { external: [/\/dist\//] } },
    projects: [
      {
        extends: true,
        test: {
          name: 'computing',
          include: computing,
          // All cores at once, and then nothing else: with one core left free, as it is by default, two cores would be one.
          maxWorkers: availableParallelism(),
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        // Threads, processes and sockets: one core is left free for what they start.
        test: { name: 'running', include: ['test/**/*.test.ts'], exclude: computing, sequence: { groupOrder: 2 } },
      },
    ],
  },
})
