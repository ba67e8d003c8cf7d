import type { Run } from './model.ts'
export function reportOf(run: Run): string {
  return JSON.stringify(run)
}
