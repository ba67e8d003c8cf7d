import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/support/closing-line.ts'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
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
  },
})
