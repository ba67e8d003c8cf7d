/** Runs as the bench writes them, made up. */
import type { CurveResult, Kind, Result, Run, SuiteResult } from '../../bench/harness/model.ts'
import { median } from '../../bench/harness/samples.ts'

export function resultOf(name: string, rounds: readonly number[], kind: Kind = 'ours'): Result {
  const p50 = median(rounds)
  const curve = [0.05, 0.5, 0.9, 0.99, 1].map((share) => [share, p50 * (1 + share)] as const)
  return { name, kind, proof: 'seen', count: 100, p50, p90: p50 * 2, max: p50 * 3, rounds, curve, gc: 0.01 }
}

export function suiteOf(id: string, results: readonly Result[], absent: SuiteResult['absent'] = []): SuiteResult {
  return { id, title: `Suite ${id}`, about: 'made up', unit: 'ns', sample: 'event', results, absent }
}

export function curveOf(name: string, points: readonly (readonly [n: number, value: number])[]): CurveResult {
  const line = { name, points, growth: 'linear (n^1.00)' }
  return { id: 'scale/x', title: 'How it grows', about: 'made up', unit: 'ns', axis: 'contexts', lines: [line] }
}

export function runOf(suites: readonly SuiteResult[]): Run {
  return {
    format: 1,
    started: '2026-01-02T03:04:05.000Z',
    seconds: 12,
    machine: {
      cpu: 'A machine',
      cores: 2,
      memory: 2 ** 34,
      system: 'linux',
      versions: { node: '20.19.0' },
      pinned: 'no',
      load: [0, 0.5],
    },
    clocks: [{ between: 'this thread and a worker', offset: -35, error: 245, samples: 1_000 }],
    suites,
    curves: [],
    bars: [],
  }
}
